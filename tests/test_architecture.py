"""The rules of the house: imports go one way, services are strangers to each other, pure rooms stay pure."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SERVICES = ("backend", "peer", "proxy", "tracker")
LAYERS = {
    "services": {"services", "shared.runtime", "shared.httpcore"},
    "shared.runtime": {"shared.runtime", "shared.httpcore"},
    "shared.httpcore": {"shared.httpcore"},
}
# Modules that reach outside: a pure room imports none of them.
DOING = {
    "asyncio",
    "os",
    "select",
    "selectors",
    "signal",
    "socket",
    "sqlite3",
    "ssl",
    "subprocess",
    "threading",
    "time",
}
PURE_EXCEPTIONS = {
    "dates.py": {"time"},
    "static.py": {"os", "time"},
    "static_file.py": {"os"},
    "websocket/handshake.py": {"os"},
}


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imports_of(path: Path) -> Iterator[str]:
    """Every module named by an import statement of the file, those for type checkers left out."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    typing_only = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and isinstance(block.test, ast.Name) and block.test.id == "TYPE_CHECKING"
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        if id(node) in typing_only:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield node.module or ""


def layer_of(module: str) -> str | None:
    return next((layer for layer in LAYERS if module == layer or module.startswith(layer + ".")), None)


@pytest.mark.parametrize("path", python_files("shared", "services"), ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_go_one_way_and_nothing_but_the_standard_library_is_needed(path: Path) -> None:
    own = layer_of(".".join(path.relative_to(ROOT).with_suffix("").parts)) or "shared.runtime"
    for module in imports_of(path):
        layer = layer_of(module)
        if layer is None:
            assert module.split(".")[0] in sys.stdlib_module_names | {"shared"}, f"{path} imports {module}"
        else:
            assert layer in LAYERS[own], f"{path}: {own} must not import {module}"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_never_imports_another(service: str) -> None:
    strangers = tuple(f"services.{other}" for other in SERVICES if other != service)
    for path in python_files(f"services/{service}"):
        for module in imports_of(path):
            assert not module.startswith(strangers), f"{path} imports {module}"


def test_pure_rooms_of_httpcore_touch_no_socket_and_no_clock() -> None:
    root = ROOT / "shared/httpcore"
    pure = [path for path in root.rglob("*.py") if path.relative_to(root).parts[0] != "net"]
    assert len(pure) > 10
    for path in pure:
        allowed = PURE_EXCEPTIONS.get(path.relative_to(root).as_posix(), set())
        reached = {module.split(".")[0] for module in imports_of(path)} & (DOING - allowed)
        assert not reached, f"{path} imports {sorted(reached)}"
        assert not [module for module in imports_of(path) if module.startswith("shared.httpcore.net")], path
