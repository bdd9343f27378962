"""`docker compose --profile test run --rm test`: pytest from inside the network, and its exit status."""

import re

from tests.containers.compose_stack import ComposeStack


def test_the_job_passes_and_leaves_the_stack_as_it_was(containers: ComposeStack) -> None:
    before = {container.id for container in containers.containers()}
    ended = containers.run(["docker", "compose", "--profile", "test", "run", "--rm", "test"])
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert re.search(r"\d{2,} passed", ended.stdout), ended.stdout
    assert {container.id for container in containers.containers()} == before


def test_the_job_fails_when_a_test_fails(containers: ComposeStack) -> None:
    wrong = "WEAPROUS_E2E_PROXY=http://proxy:1"
    command = ["docker", "compose", "--profile", "test", "run", "--rm", "-e", wrong, "test", "tests/e2e", "-x"]
    ended = containers.run(command)
    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "1 failed" in ended.stdout or "1 error" in ended.stdout
