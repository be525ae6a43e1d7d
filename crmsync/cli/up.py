"""`crmsync up`: all processes against the configured systems, until Ctrl-C."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path

import click

from crmsync.cli import screen
from crmsync.cli.child import in_a_child
from crmsync.errors import ConfigurationError
from crmsync.settings import Settings


@click.command
def up() -> None:
    """Run the receiver, the worker, beat and Flower, and Redis if none is configured."""
    from crmsync.cli.processes import specs
    from crmsync.supervisor import Supervisor

    settings = checked(os.environ)
    refuse_taken_port(settings)
    in_a_child(partial(_refuse_other_accounts, settings))
    no_flower = why_no_flower(settings)
    made = [spec for spec in specs(settings) if not (no_flower and spec.name == "flower")]
    supervisor = Supervisor(made, env=os.environ, cwd=Path.cwd())
    screen.console().print(screen.pairs(_facts(settings, no_flower)))
    raise SystemExit(supervisor.run())


def _refuse_other_accounts(settings: Settings) -> None:
    from crmsync.services import refuse_other_accounts

    refuse_other_accounts(settings)


def checked(env: Mapping[str, str]) -> Settings:
    """Settings with which deals can be synced.

    Raises: ConfigurationError with everything that is wrong, systems that are not configured included.
    """
    settings, problems = _settings(env)
    missing = _unconfigured(settings, env)
    if settings is not None and not missing:
        return settings
    raise ConfigurationError(
        "The environment is not right.",
        field_errors={**problems, **missing},
        advice="docs/configuration.md describes every variable; `crmsync demo` needs none of them.",
    )


def _settings(env: Mapping[str, str]) -> tuple[Settings | None, Mapping[str, str]]:
    try:
        return Settings.from_env(env), {}
    except ConfigurationError as error:
        return None, error.field_errors


def _unconfigured(settings: Settings | None, env: Mapping[str, str]) -> dict[str, str]:
    """Systems that fill a role, and of which the environment says nothing."""
    from crmsync.company import default_roles
    from crmsync.connectors.registry import is_configured, system

    bound = default_roles(settings.systems if settings else ())
    return {
        system(connection).variable: f"is missing: {connection} is not configured"
        for connection in dict.fromkeys(bound.values())
        if not (is_configured(connection, settings) if settings else _is_mentioned(system(connection).prefixes, env))
    }


def _is_mentioned(prefixes: tuple[str, ...], env: Mapping[str, str]) -> bool:
    """Whether a variable of the system is set."""
    return any(name.startswith(prefixes) and value.strip() for name, value in env.items())


def refuse_taken_port(settings: Settings) -> None:
    """Raises: ConfigurationError if the receiver can't listen on its ports."""
    ports = {"PORT": (settings.host, settings.port)}
    if settings.admin_port:
        ports["CRMSYNC_ADMIN_PORT"] = (settings.admin_host, settings.admin_port)
    problems = {variable: _problem_of_port(variable, *address) for variable, address in ports.items()}
    if any(problems.values()):
        taken = {variable: problem for variable, problem in problems.items() if problem}
        raise ConfigurationError("A port is not free.", field_errors=taken, advice="Is crmsync running already?")


def why_no_flower(settings: Settings) -> str:
    """Why Flower is left out; "" if it is not. The work goes on without it."""
    problem = _problem_of_port("FLOWER_PORT", settings.flower.address, settings.flower.port)
    return f"left out: FLOWER_PORT {problem}" if problem else ""


def _problem_of_port(variable: str, host: str, port: int) -> str:
    from crmsync.cli.processes import next_free, why_not

    problem = why_not(host, port)
    other = next_free(host, port) if problem else None
    return f"{port} {problem}; {variable}={other} is free" if other else f"{port} {problem}" if problem else ""


def _facts(settings: Settings, no_flower: str) -> dict[str, str]:
    from crmsync.cli.processes import local_url
    from crmsync.log import without_password
    from crmsync.passwords import TOWER_USER

    tower = settings.tower_url if settings.admin_port else settings.public_url or local_url(settings)
    return {
        "Receiver": f"{settings.receiver_url or local_url(settings)}{_door_of_deals(settings)}",
        "Control tower": f"{tower}/",
        "Flower": no_flower or f"http://{settings.flower.address}:{settings.flower.port}/",
        "User, password": f"{TOWER_USER}, {where_the_password_is(settings)}",
        "Redis": redis_of(settings),
        "Database": without_password(settings.database_url),
        "State directory": str(settings.home),
    }


def _door_of_deals(settings: Settings) -> str:
    from crmsync.company import default_roles
    from crmsync.connectors.registry import system

    return next((door.path for door in system(default_roles(settings.systems)["deals"]).doors), "")


def where_the_password_is(settings: Settings) -> str:
    """Where the password of the control tower and of Flower is kept: it is not printed, for this goes to logs."""
    from crmsync.passwords import TOWER_PASSWORD_FILE

    return "CRMSYNC_TOWER_PASSWORD" if settings.tower_password else f"in {settings.home / TOWER_PASSWORD_FILE}"


def redis_of(settings: Settings) -> str:
    """Which server carries the messages."""
    from crmsync import embedded
    from crmsync.cli.processes import uses_embedded_redis
    from crmsync.log import without_password

    if uses_embedded_redis(settings):
        return f"{embedded.find_server()}, started by crmsync, socket {embedded.socket_path(settings.home)}"
    return without_password(settings.broker_url or settings.redis_url)
