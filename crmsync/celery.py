"""The Celery app, found by `celery -A crmsync`."""

from __future__ import annotations

import os
import re
import sys
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType
from typing import Any

import click
from celery import Celery
from celery.app import utils
from celery.local import PromiseProxy
from celery.signals import celeryd_init, import_modules, setup_logging, worker_process_init

import crmsync
from crmsync import failpoints, files, log
from crmsync.errors import ConfigurationError
from crmsync.settings import Settings


def _installed_config() -> ModuleType:
    """Our celeryconfig.py, which lies beside this package; by its name one of the current folder would be found."""
    path = Path(crmsync.__file__).parents[1] / "celeryconfig.py"
    module = ModuleType("celeryconfig")
    try:
        SourceFileLoader("celeryconfig", str(path)).exec_module(module)
    except ConfigurationError as error:
        if _celery_command():
            raise click.ClickException(f"{error} {error.advice}") from error
        raise
    return module


def _celery_command() -> str:
    """Which command of `celery` this process runs; "" if none."""
    context = click.get_current_context(silent=True)
    if context is None or getattr(context.obj, "app", None) is not app:
        return ""
    return context.info_name or ""


def _ignore_foreign_flower_config() -> None:
    """Flower runs a flowerconfig.py of the current folder, which may be another project's; --conf names one."""
    if "flower.command" in sys.modules:
        from tornado.options import options

        options.conf = os.environ.get("FLOWER_CONF", os.devnull)


files.keep_private()  # whatever part of Celery this process is
_ignore_foreign_flower_config()

# What `celery report`, `celery inspect conf` and Flower show; Celery itself hides broker_url only.
utils.HIDDEN_SETTINGS = re.compile(f"{utils.HIDDEN_SETTINGS.pattern}|BROKER_(READ|WRITE)_URL", re.IGNORECASE)

app = Celery("crmsync")
app.config_from_object(PromiseProxy(_installed_config))  # read when it is first needed

# By name: this layer must not import those above it.
TASK_MODULES = (
    "crmsync.flows",
    "crmsync.worker.housekeeping",
    "crmsync.worker.trials",
    "crmsync.worker.consents",
    "crmsync.worker.link_checks",
    "crmsync.reading.foresight",
)


DEAD_LETTER = "dead_letter"
HOUSEKEEPING = "housekeeping"


@celeryd_init.connect
def _prepare_worker(conf: Any, **_: Any) -> None:
    """Load the tasks, and leave the dead letters alone unless `-Q dead_letter` asks for them.

    Only a worker needs the tasks: beat and Flower know them by name, and are half as large without. Only a worker
    consumes every queue that is declared; Flower, which declares them too, shows their lengths.
    """
    from crmsync.start import prepare_worker  # by beat and Flower it is not needed

    conf.task_queues = [queue for queue in conf.task_queues if queue.name != DEAD_LETTER]
    for module in TASK_MODULES:
        import_module(module)
    import_module("crmsync.worker.bulkhead").install()
    prepare_worker()
    import_module("crmsync.worker.intake").install(conf)
    import_module("crmsync.worker.events").install()
    _check_or_end(Settings.from_env())


def _check_or_end(settings: Settings) -> None:
    from crmsync.services import refuse_other_accounts  # beat and Flower do without the store

    try:
        refuse_other_accounts(settings)
        failpoints.arm_process(settings.failpoints)
    except ConfigurationError as error:
        raise SystemExit(f"{error} {error.advice or ''}") from error  # Celery logs other exceptions, and starts


@import_modules.connect
def _prepare_flower(**_: Any) -> None:
    """However Flower was started: its options are read by now, and it does not listen yet."""
    if _celery_command() == "flower":
        import_module("crmsync.flower").prepare()


@setup_logging.connect
def _configure_logging(**_: Any) -> None:
    settings = Settings.from_env()
    log.configure(settings.log_style, settings.log_level)


@worker_process_init.connect
def _forget_inherited(**_: Any) -> None:
    """A forked child must not share its parent's database connections and sockets."""
    from crmsync import services

    services.use(None)
