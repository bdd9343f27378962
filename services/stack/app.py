"""`python -m services` put together: settings, files, processes, greeting. Read `plan`, then `supervisor`."""

import sys
from collections.abc import Mapping, Sequence

from services.stack.files import StackFiles
from services.stack.health import count_registered
from services.stack.launcher import Launcher
from services.stack.output import is_coloured
from services.stack.plan import ProcessPlan, plan_processes, render_greeting
from services.stack.ports import find_ports_in_use
from services.stack.screen import Screen
from services.stack.settings import StackSettings, find_conflicts
from services.stack.supervisor import Reports, Supervisor
from shared.runtime.errors import StartupError
from shared.runtime.settings import exit_on_settings_error

PROG = "python -m services"
DESCRIPTION = "The whole stack as local processes: tracker, backends, peers, and the proxy in front of them."


def main(argv: Sequence[str], environ: Mapping[str, str]) -> int:
    """Run the stack until it is asked to end; the exit status."""
    settings = exit_on_settings_error(StackSettings, argv, environ, PROG, DESCRIPTION, find_conflicts)
    plans = plan_processes(settings)
    files = StackFiles(settings)
    try:
        _refuse_ports_in_use(plans)
        files.prepare()
        is_first_password = files.has_first_password()
    except StartupError as error:
        print(f"{PROG}: error: {error}", file=sys.stderr)
        return 2
    try:
        return _supervise(settings, plans, files, render_greeting(settings, is_first_password))
    finally:
        files.close()


def _refuse_ports_in_use(plans: Sequence[ProcessPlan]) -> None:
    listeners = [listener for plan in plans for listener in plan.listeners]
    faults = [f"{each.ip}:{each.port} ({each.what}): {why}" for each, why in find_ports_in_use(listeners)]
    if faults:
        raise StartupError(f"can't listen on {', '.join(faults)}; --port-offset N moves every port")


def _supervise(settings: StackSettings, plans: Sequence[ProcessPlan], files: StackFiles, greeting: str) -> int:
    screen = Screen(sys.stdout.fileno(), [plan.name for plan in plans], coloured=is_coloured(sys.stdout))
    tracker, tracker_key = plans[0].listeners[0], files.tracker_key()
    registering = settings.backends + settings.peers
    reports = Reports(
        lines=screen.show_lines,
        event=screen.show_event,
        pid=files.write_pid,
        is_complete=lambda: count_registered(tracker, tracker_key) >= registering,
        ready=lambda: screen.show_block(greeting),
    )
    launcher = Launcher(grace_s=settings.drain_s)
    supervisor = Supervisor(plans, launcher, reports, settings.drain_s)
    screen.on_lost = supervisor.request_stop
    try:
        return supervisor.run()
    finally:
        launcher.kill_all()
