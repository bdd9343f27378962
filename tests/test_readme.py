"""README says what is so: its commands are run as printed, its tree, targets and paths exist."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.processes import Stack

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
DEFAULT_PORTS = (8080, 9000, 8000, 7510, 7010)


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


def tree_paths() -> list[str]:
    """The tree's lines as paths from the root; a level is four spaces."""
    paths: list[str] = []
    folders: list[str] = []
    for line in blocks("tree")[0].splitlines():
        depth = (len(line) - len(line.lstrip())) // 4
        folders[depth:] = [line.strip()]
        paths.append("".join(folders))
    return paths


def test_every_path_of_the_tree_exists() -> None:
    paths = tree_paths()
    assert "shared/httpcore/" in paths
    for path in paths:
        assert (ROOT / path).is_dir() if path.endswith("/") else (ROOT / path).is_file(), path


def test_every_folder_of_the_top_is_in_the_tree() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    if not listed:
        pytest.skip("not a git checkout")
    tops = {path.split("/")[0] + "/" for path in listed if "/" in path and not path.startswith(".")}
    assert tops <= set(tree_paths())


def test_every_file_that_readme_names_exists() -> None:
    named = re.findall(r"`((?:shared|services|web|docs)/[\w/.-]+)`|\]\(([\w/.-]+)\)", README)
    assert len(named) > 10
    for code, link in named:
        assert (ROOT / (code or link)).exists(), code or link


def test_every_make_command_that_readme_names_is_a_target() -> None:
    makefiles = "".join(
        (ROOT / name).read_text() for name in ("Makefile", "containers.mk", "conformance.mk", "bench.mk", "certs.mk")
    )
    targets = set(re.findall(r"^([a-z0-9-]+):", makefiles, flags=re.MULTILINE))
    quoted = " ".join(re.findall(r"`[^`]*`", README))
    named = set(re.findall(r"make ([a-z][a-z0-9-]*)", quoted))
    assert {"run", "up", "test"} <= named
    assert named <= targets


def try_it_commands() -> list[tuple[str, str | None]]:
    """Each line of «Try it» with what its output is to hold, or None."""
    lines = next(block for block in blocks("sh") if "whoami" in block).splitlines()
    pairs = [line.partition("# → ")[::2] for line in lines]
    return [(command.strip(), expected.strip() or None) for command, expected in pairs]


def test_the_commands_of_try_it_answer_as_printed(stack: Stack, tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None or shutil.which("curl") is None:
        pytest.skip("needs bash and curl")
    (tmp_path / "var").symlink_to(stack.var_dir)
    commands = try_it_commands()
    assert sum(expected is not None for _, expected in commands) > 12
    script = "".join(f"{command}\necho; echo '=== end'\n" for command, _ in commands)
    for port in DEFAULT_PORTS:
        script = script.replace(f"localhost:{port}", f"localhost:{port + stack.port_offset}")
    run = subprocess.run([bash, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    outputs = run.stdout.split("=== end\n")
    for (command, expected), output in zip(commands, outputs, strict=False):
        assert expected is None or expected in output, f"{command}\ngot {output!r} {run.stderr}"
    served_by = re.findall(r'"served_by":"([^"]+)"', run.stdout)
    assert len(served_by) == len(set(served_by)) == 3


ANATOMY = ROOT / "docs/anatomy-of-a-request.md"


def defined_names(path: Path) -> set[str]:
    """Functions, classes and methods (`Class.method`) of a module."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            functions = (each for each in node.body if isinstance(each, (ast.FunctionDef, ast.AsyncFunctionDef)))
            names |= {f"{node.name}.{each.name}" for each in functions}
    return names


def test_every_function_that_the_anatomy_names_exists() -> None:
    named = re.findall(r"`((?:shared|services)/[\w/]+\.py)(?::([\w.]+))?`", ANATOMY.read_text(encoding="utf-8"))
    assert len(named) > 25
    for path, name in named:
        assert (ROOT / path).is_file(), path
        assert not name or name in defined_names(ROOT / path), f"{path}:{name}"
