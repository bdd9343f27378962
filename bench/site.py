"""Folders and files of one run, gone at its end: configurations, and a site with files of known sizes."""

import functools
import os
import shutil
import tempfile
from pathlib import Path

from bench.machines import ROOT

KIB = 1024
MIB = 1024 * KIB
# By name: bytes. The backend asks for a session for .html only.
FILES = {"hello.txt": 13, "64k.bin": 64 * KIB, "100m.bin": 100 * MIB}


@functools.cache
def _workshop() -> "tempfile.TemporaryDirectory[str]":
    return tempfile.TemporaryDirectory(prefix="weaprous-bench-")  # removed when the program ends


def new_folder() -> Path:
    """An empty folder of one server."""
    return Path(tempfile.mkdtemp(dir=_workshop().name))


@functools.cache
def folder() -> Path:
    """The site: the UI's own pages, which the backend can't do without, and `FILES`."""
    site = new_folder() / "site"
    shutil.copytree(ROOT / "web", site)
    for name, size in FILES.items():
        (site / name).write_bytes(b"Hello, World!" if size == 13 else os.urandom(size))
    return site
