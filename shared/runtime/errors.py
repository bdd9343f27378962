"""What keeps a service from starting, told in one line.

Raised by `keys`, `users_file` and the services; `lifecycle` prints it and ends with status 2.
"""


class StartupError(Exception):
    """The service can't start; the text is one line that says what was found and what to do about it."""
