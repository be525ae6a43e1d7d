"""An installation of an earlier release, whose processes give way one after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from crmsync.supervisor import ProcessSpec, Supervisor

Supervises = Callable[[Sequence[ProcessSpec]], Supervisor]


class EarlierRelease:
    """The processes *specs* by the commands in *folder*, each under a supervisor of its own.

    Use it as a context, and `ending` to end them one by one, the receiver first.
    """

    def __init__(self, folder: str, specs: Sequence[ProcessSpec], supervises: Supervises) -> None:
        self._supervisors = {spec.name: supervises([_of(folder, spec)]) for spec in specs}

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for each in self._supervisors.values():
                stack.enter_context(each)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._stack.__exit__(kind, error, tb)

    def ending(self) -> Iterator[str]:
        """Ends process after process; yields the name of each that has ended."""
        for name, supervisor in self._supervisors.items():
            supervisor.stop()
            yield name


def _of(folder: str, spec: ProcessSpec) -> ProcessSpec:
    """*spec* by the command of that release; lines and workers bear other names than those that follow them."""
    env = dict(spec.env)
    if "CRMSYNC_WORKER_NAME" in env:
        env["CRMSYNC_WORKER_NAME"] += "-before"
    command = str(Path(folder, spec.shell_command))
    return replace(spec, name=f"{spec.name}-before", command=command, env=env, ready=None if env else spec.ready)
