"""Reads a Procfile: a name, a colon and a command on each line."""

from __future__ import annotations

import re

from crmsync.errors import ConfigurationError

_LINE = re.compile(r"(?P<name>[A-Za-z0-9_-]+):\s*(?P<command>\S.*)")


def parse_procfile(text: str) -> dict[str, str]:
    """The command of each process, in the order of the file.

    >>> parse_procfile("# the receiver\\nweb: gunicorn --bind :${PORT:-8000} app\\n")
    {'web': 'gunicorn --bind :${PORT:-8000} app'}

    Raises: ConfigurationError for a line that is no process, or a name that comes twice.
    """
    commands: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            name, command = _process(line.strip(), number)
            if name in commands:
                raise ConfigurationError(f"Procfile, line {number}: there are two processes {name!r}.")
            commands[name] = command
    return commands


def _process(line: str, number: int) -> tuple[str, str]:
    found = _LINE.fullmatch(line)
    if found is None:
        raise ConfigurationError(f"Procfile, line {number}: expected 'name: command', found {line!r}.")
    return found["name"], found["command"]
