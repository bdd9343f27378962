"""What a backend holds after logins."""

import os
import platform
import subprocess
import sys

import pytest

from tests.processes import ROOT

# Twelve checks in four threads, then how much memory is held compared with before.
SCRIPT = """
import concurrent.futures, os
from services.backend.allocation import give_back_large_blocks
from shared.runtime.passwords import DECOY_HASH, verify_password
def resident_mib():
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
assert give_back_large_blocks()
before = resident_mib()
with concurrent.futures.ThreadPoolExecutor(4) as threads:
    list(threads.map(lambda _: verify_password("x", DECOY_HASH), range(12)))
    print(resident_mib() - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library isn't glibc")
def test_the_memory_of_password_checks_is_given_back() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT], cwd=ROOT, env=dict(os.environ), capture_output=True, text=True
    )
    assert ended.returncode == 0, ended.stderr
    assert float(ended.stdout) < 8
