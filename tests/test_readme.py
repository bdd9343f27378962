"""README says what is so: its commands are run as printed, its tree, targets and paths exist."""

import ast
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import requests

from tests.processes import ChildProcess, Stack, find_free_port, service_environment, wait_until
from tests.readme_tables import FLAGS, SERVICES, endpoints_of, flag_table, listed_endpoints

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


def test_the_table_of_flags_is_what_the_services_take() -> None:
    found = FLAGS.search(README)
    assert found is not None
    assert found[0] == flag_table(), "bring it up to date with: python -m tests.readme_tables"


@pytest.mark.parametrize("service", SERVICES)
def test_the_table_of_endpoints_is_what_the_router_answers(service: str) -> None:
    listed = [endpoint for name, endpoint in listed_endpoints(README) if name == service]
    assert len(listed) == len(set(listed))
    assert set(listed) == endpoints_of(service)


class ByHand:
    """The services started as README prints it, but that each port is another one and what they write is elsewhere."""

    def __init__(self, tmp_path: Path) -> None:
        block = next(block for block in blocks("sh") if "-m services.tracker" in block)
        ports = sorted(set(re.findall(r"\b[789]0\d\d\b|\b75\d\d\b", block)))
        self._moved = {port: str(find_free_port()) for port in ports}
        config = tmp_path / "proxy.conf"
        config.write_text(self.move((ROOT / "services/proxy/proxy.conf").read_text()))
        environment = service_environment(WEAPROUS_DATA_DIR=str(tmp_path), WEAPROUS_CONFIG=str(config))
        self.commands = [shlex.split(self.move(line)) for line in block.splitlines()]
        self.processes = [
            ChildProcess(str(number), [sys.executable, *command[1:]], environment, tmp_path / f"{number}.log")
            for number, command in enumerate(self.commands)
        ]

    def move(self, text: str) -> str:
        """The text with the other ports."""
        return re.sub(r"\b\d{4}\b", lambda match: self._moved.get(match[0], match[0]), text)

    def url(self, port: int) -> str:
        return f"http://127.0.0.1:{self._moved[str(port)]}"

    def is_whole(self) -> bool:
        """Everybody knows everybody."""
        for process in self.processes:
            assert process.is_running, process.output
        known = requests.get(self.url(7510) + "/metrics", timeout=5).text
        reached = [requests.get(f"{self.url(8080)}{path}", timeout=5).status_code for path in ("/login", PEER_TWO)]
        return "weaprous_peer_known_peers 1\n" in known and reached == [200, 200]


PEER_TWO = "/peers/p2/p2p/whoami"


def test_services_started_by_hand_answer_as_printed(tmp_path: Path) -> None:
    bash = shutil.which("bash")
    if bash is None or shutil.which("curl") is None:
        pytest.skip("needs bash and curl")
    started = ByHand(tmp_path)
    try:
        assert [command[:2] for command in started.commands] == [["python3", "-m"]] * 5
        wait_until(started.is_whole, why="the services to find each other")
        pairs = [(command.replace('-H "$KEY" ', ""), expected) for command, expected in try_it_commands()]
        pairs = [(command, expected) for command, expected in pairs if not command.startswith("KEY=")]
        script = "".join(f"{started.move(command)}\necho; echo '=== end'\n" for command, _ in pairs)
        run = subprocess.run([bash, "-c", script], cwd=tmp_path, capture_output=True, text=True, timeout=60)
        for (command, expected), output in zip(pairs, run.stdout.split("=== end\n"), strict=False):
            wanted = (expected or "").replace('"registered_by":"key"', '"registered_by":"anyone"')
            assert wanted in output, f"{command}\ngot {output!r} {run.stderr}"
        assert len(set(re.findall(r'"served_by":"([^"]+)"', run.stdout))) == 1
    finally:
        statuses = [process.stop() for process in reversed(started.processes)]
    assert statuses == [0] * 5


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
