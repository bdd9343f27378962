"""The words of `python -m shared.runtime.users_file`: `init`, `add`, `remove`, `list`. `users_file` does them."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

PROG = "python -m shared.runtime.users_file"


def main(arguments: Sequence[str]) -> int:
    """The command; exit status 0, or 2 with a line that says why."""
    # Imported here: started by its name, `users_file` is `__main__`, and its errors would be of two classes.
    from shared.runtime.users_file import UsersFileError

    options = _parser().parse_args(arguments)
    if options.users_file is None:
        return _fail("--users-file: got nothing, expected a path")
    try:
        return _run(options, Path(options.users_file))
    except UsersFileError as error:
        return _fail(str(error))
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROG, description="Makes and changes the file of users.", allow_abbrev=False)
    parser.add_argument(
        "--users-file",
        metavar="FILE",
        default=os.environ.get("WEAPROUS_USERS_FILE") or None,
        help="the file (WEAPROUS_USERS_FILE)",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("init", help="make the file with the first login, unless it is there")
    add = commands.add_parser("add", help="add a user, or give one a new password, and other peers")
    add.add_argument("name", metavar="NAME")
    add.add_argument(
        "--peers", default="", help="ids of the user's peers, commas between; * for all (default: as before)"
    )
    add.add_argument("--password-stdin", action="store_true", help="read the password from standard input")
    remove = commands.add_parser("remove", help="take a user away")
    remove.add_argument("name", metavar="NAME")
    commands.add_parser("list", help="show names and peers")
    return parser


def _run(options: argparse.Namespace, path: Path) -> int:
    from shared.runtime import users_file

    if options.command == "init":
        made = users_file.init_users_file(path)
        print(f"made {path}; the login is admin / password" if made else f"kept {path}")
    elif options.command == "remove":
        if not users_file.remove_user(path, options.name):
            return _fail(f"there is no user {options.name!r} in {path}")
        print(f"removed {options.name} from {path}")
    elif options.command == "list":
        for user in users_file.read_users(path)[0].values():
            print(f"{user.name}\t{','.join(user.peers)}")
    else:
        return _add(options, path)
    return 0


def _add(options: argparse.Namespace, path: Path) -> int:
    from shared.runtime.users_file import add_user, is_user_name

    if not is_user_name(options.name):
        return _fail(f"NAME: got {options.name!r}, expected 1–64 characters of A–Z a–z 0–9 . _ @ -")
    password = sys.stdin.readline().rstrip("\r\n") if options.password_stdin else _ask_password()
    if not password:
        return _fail("got no password; type the same one twice, or use --password-stdin")
    peers = [peer.strip() for peer in options.peers.split(",") if peer.strip()]
    kept = add_user(path, options.name, password, peers)
    print(f"{options.name} is in {path}, with the peers {','.join(kept) or 'none'}")
    return 0


def _ask_password() -> str:
    """What was typed twice the same; "" otherwise, or when there is no terminal to ask at."""
    if not sys.stdin.isatty():
        return ""
    import getpass

    first = getpass.getpass("Password: ")
    return first if first == getpass.getpass("The same again: ") else ""


def _fail(why: str) -> int:
    print(f"{PROG}: error: {why}", file=sys.stderr)
    return 2
