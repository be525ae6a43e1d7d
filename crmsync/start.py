"""What a process checks before it starts to serve or work: limits on files, a key, a store that fits."""

from __future__ import annotations

import logging
import resource
from typing import NoReturn

from crmsync import files, log
from crmsync.errors import ConfigurationError, CrmsyncError, StoreUnavailableError
from crmsync.services import Services, services
from crmsync.store.room import room_of

logger = logging.getLogger(__name__)

FILES_NEEDED = 256  # a socket for each thread and its vendor, the broker's, the database's, and the program's own
FILES_WANTED = 4096


def prepared() -> Services:
    """This process's services, over a store that answers.

    Raises: ConfigurationError, by variable; StoreUnavailableError.
    """
    files.keep_private()
    allow_files()
    using = services()
    using.check()
    _warn_of_small_room(using)
    return using


def allow_files() -> None:
    """Raise this process's limit of open files as far as it may. Raises: ConfigurationError if that is too little."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES_WANTED if hard == resource.RLIM_INFINITY else min(FILES_WANTED, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
        soft = wanted
    if soft != resource.RLIM_INFINITY and soft < FILES_NEEDED:
        raise ConfigurationError(
            f"This process may open {soft} files, and needs {FILES_NEEDED}.",
            advice="Raise the limit of open files (ulimit -n, LimitNOFILE= of systemd, or ulimits of the container).",
        )


def _warn_of_small_room(using: Services) -> None:
    behaviour = using.settings.behaviour
    room = room_of(using.store, connections=behaviour.database_connections, workers=behaviour.workers)
    if room is not None and not room.is_enough:
        logger.warning("%s", room.problem, extra={"action": "few_connections"})


def give_up(error: CrmsyncError, status: int) -> NoReturn:
    """End this process with one sentence and its cure, for whoever reads its log."""
    if not logging.getLogger().handlers:  # it is the environment that is wrong, so no style of the log is known
        log.configure()
    logger.critical("crmsync can't start: %s", error.with_advice, extra={"action": "not_started", "error": error.cause})
    raise SystemExit(status)


def prepare_worker() -> None:
    """A worker that finds its database down begins all the same: its runs wait. What no waiting mends ends it."""
    try:
        prepared().store.close()  # a forked child must not find its parent's connections
    except StoreUnavailableError as error:
        logger.error("%s %s", error, error.advice, extra={"action": "store_unavailable"})
    except CrmsyncError as error:
        give_up(error, 2)
