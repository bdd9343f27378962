"""The environment in which the Autobahn testsuite runs: Python 2.7, apart from everything else here.

virtualenv 20.21 is the last that can make one; it is fetched into a folder that is thrown away, and runs on the Python
of this program, so nothing is asked of the old one but to be there. The versions of everything else are pinned in
`autobahn-requirements.txt`.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
REQUIREMENTS = Path(__file__).with_name("autobahn-requirements.txt")
ENVIRONMENT = ROOT / ".venv-autobahn"
VIRTUALENV = "virtualenv==20.21.1"

MISSING = """\
the Autobahn testsuite needs Python 2.7, and none was found: no `python2.7` or `pypy2` in PATH, none of pyenv's.
Name one by PYTHON27=/path/to/python2.7, or get one:
  pyenv install 2.7.18          (any system with a C compiler)
  apt-get install python2.7-dev  (Debian 11, Ubuntu 22.04)\
"""


class SetupError(Exception):
    """The environment can't be made; the message says what is missing."""


def find_python27() -> Path:
    """A Python 2.7 of this machine; SetupError when there is none."""
    for candidate in _candidates():
        if candidate.exists() and _is_python27(candidate):
            return candidate
    raise SetupError(MISSING)


def _candidates() -> Iterator[Path]:
    if named := os.environ.get("PYTHON27"):
        yield Path(named)
    for name in ("python2.7", "pypy2", "pypy"):
        if found := shutil.which(name):
            yield Path(found)
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob("versions/2.7*/bin/python2.7"), reverse=True)
    yield from sorted(pyenv.glob("versions/pypy2.7*/bin/pypy"), reverse=True)


def _is_python27(program: Path) -> bool:
    """pyenv's shims are there without being one, so it is asked."""
    question = [str(program), "-c", "import sys; sys.exit(sys.version_info[:2] != (2, 7))"]
    return subprocess.run(question, capture_output=True, timeout=30, check=False).returncode == 0  # noqa: S603


def ensure_environment() -> Path:
    """The `wstest` program, installed when it is not there or its pins have changed. SetupError when it can't be."""
    program, stamp = ENVIRONMENT / "bin/wstest", ENVIRONMENT / "installed.txt"
    pins = REQUIREMENTS.read_text("utf-8")
    if not (program.exists() and stamp.exists() and stamp.read_text("utf-8") == pins):
        python27 = find_python27()
        print(f"making {ENVIRONMENT.name} with {python27}; this takes a minute", flush=True)
        _make_environment(python27)
        _run([str(ENVIRONMENT / "bin/python"), "-m", "pip", "install", "-q", "-r", str(REQUIREMENTS)], {})
        stamp.write_text(pins, "utf-8")
    return program


def _make_environment(python27: Path) -> None:
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    with tempfile.TemporaryDirectory() as folder:
        _run([sys.executable, "-m", "pip", "install", "-q", "--target", folder, VIRTUALENV], {})
        command = [sys.executable, "-m", "virtualenv", "-q", "--no-download", "-p", str(python27), str(ENVIRONMENT)]
        _run(command, {"PYTHONPATH": folder})


def _run(command: list[str], extra: dict[str, str]) -> None:
    """Runs it quietly; SetupError with the end of what it said when it fails."""
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", **extra}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)  # noqa: S603
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise SetupError(f"{' '.join(command)} failed; wsaccel is built from source and needs a C compiler\n{said}")
