"""The stack's folder, as those see it who read it meanwhile."""

import threading
from pathlib import Path

from services.stack.files import StackFiles
from services.stack.settings import StackSettings


def test_a_pid_is_never_read_half_written(tmp_path: Path) -> None:
    files = StackFiles(StackSettings(var_dir=tmp_path))
    (tmp_path / "pids").mkdir()
    files.write_pid("backend1", 1)
    seen, is_over = set[str](), threading.Event()

    def read() -> None:
        while not is_over.is_set():
            seen.add((tmp_path / "pids" / "backend1").read_text("ascii"))

    reader = threading.Thread(target=read)
    reader.start()
    for pid in range(2000):
        files.write_pid("backend1", pid)
    is_over.set()
    reader.join()
    assert all(text.endswith("\n") for text in seen)
    assert [path.name for path in (tmp_path / "pids").iterdir()] == ["backend1"]
