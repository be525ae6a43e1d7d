"""Work in a child process: what it imports ends with it, so a command that runs for months stays small."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from crmsync.cli import failures
from crmsync.errors import CrmsyncError


def in_a_child(work: Callable[[], None]) -> None:
    """Do *work* in a fork of this process, which must have one thread.

    Raises: SystemExit with the child's status where the work failed; the child has said why.
    """
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        _work_and_end(work)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        raise SystemExit(status if status > 0 else 128 - status)


def _work_and_end(work: Callable[[], None]) -> None:
    """Nothing of the parent's is cleaned up here: it is the parent's."""
    status = failures.FAILED
    try:
        work()
        status = 0
    except CrmsyncError as error:
        failures.report(error)
        status = failures.status_of(error)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
