"""The former name of `crmsync.lab.sandbox`, for programs of others: `python -m crmsync.sandbox` goes on as well."""

from importlib import import_module
from typing import Any


def __getattr__(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return getattr(import_module("crmsync.lab.sandbox"), name)


if __name__ == "__main__":
    import_module("crmsync.lab.sandbox.command").sandbox(prog_name="python -m crmsync.sandbox")
