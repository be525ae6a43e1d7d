"""`crmsync users` and `crmsync init`: manages who signs in to the control tower, and with which role."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from crmsync.cli import screen
from crmsync.cli.failures import ListingGroup
from crmsync.cli.options import accounted, can_ask, json_option
from crmsync.cli.process import open_services
from crmsync.domain.access import Role, new_secret, tenant_name

if TYPE_CHECKING:
    from crmsync.domain.access import User
    from crmsync.domain.audit import Act
    from crmsync.store import UnitOfWork

ROLES = click.Choice([role.value for role in Role])
FIRST_ADMIN = "admin"


def tenant_option(command: Callable[..., Any]) -> Callable[..., Any]:
    return click.option("--tenant", callback=tenant_of, help="Only this company (default: all of them).")(command)


def tenant_of(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    """Check the option --tenant. Raises: click.BadParameter for what is no company's name."""
    try:
        return tenant_name(text) if text is not None else None
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


@click.command
@click.argument("name", default=FIRST_ADMIN)
@accounted
@json_option
def init(*, name: str, who: Act, as_json: bool) -> None:
    """Create the first admin, NAME (default: admin), and show the password once. Does nothing if there are users."""
    from crmsync import people

    services, password = open_services(creates=True), new_secret()
    with services.store.begin() as uow:
        is_first = not uow.users.has_any()
        if is_first:
            name = people.add_user(uow, who, name, password, role=Role.ADMIN).name
    if as_json:
        screen.print_json({"made": is_first, **({"name": name, "password": password} if is_first else {})})
    elif is_first:
        _print_made(name, password, services.settings.tower_url)
    else:
        screen.console().print("There are already users, so nothing was created: `crmsync users list` shows them.")


def _print_made(name: str, password: str, url: str) -> None:
    out = screen.console()
    out.print(f"✓ {name} may sign in at {url}", soft_wrap=True)
    out.print(f"  password: {password}", style="bold", soft_wrap=True)
    out.print("It is shown only once; `crmsync users set-password` sets another.")


@click.group(cls=ListingGroup)
def users() -> None:
    """Users of the control tower: viewers read, operators replay and discard, admins do everything."""


@users.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the users by name."""
    with open_services().store.read() as uow:
        known = uow.users.all(None)
    if as_json:
        screen.print_json([asdict(user) for user in known])
    elif known:
        screen.console().print(screen.table(["name", "role", "tenant", "since (UTC)", ""], map(_row, known)))
    else:
        screen.console().print("Nobody yet: `crmsync init` makes the first admin.")


def _row(user: User) -> tuple[object, ...]:
    state = "disabled" if user.is_disabled else ""
    return user.name, user.role.value, user.tenant or "all", f"{user.created_at:%Y-%m-%d %H:%M}", state


@users.command
@click.argument("name")
@click.option("--role", type=ROLES, required=True)
@tenant_option
@click.option(
    "--password-stdin", is_flag=True, help="Read the password from stdin (default: generate one and show it)."
)
@accounted
@json_option
def add(*, name: str, role: str, tenant: str | None, password_stdin: bool, who: Act, as_json: bool) -> None:
    """Add the user NAME; the password is generated and shown once."""
    from crmsync import people

    password = _password(password_stdin)
    services = open_services()
    with services.store.begin() as uow:
        user = people.add_user(uow, who, name, password, role=Role(role), tenant=tenant)
    if as_json:
        screen.print_json(asdict(user) | ({} if password_stdin else {"password": password}))
    elif password_stdin:
        screen.console().print(f"✓ {user.name} may sign in at {services.settings.tower_url}", soft_wrap=True)
    else:
        _print_made(user.name, password, services.settings.tower_url)


@users.command("set-role")
@click.argument("name")
@click.argument("role", type=ROLES)
@accounted
@json_option
def set_role(*, name: str, role: str, who: Act, as_json: bool) -> None:
    """Make NAME a viewer, an operator or an admin; their sessions end."""
    from crmsync import people

    _changed(lambda uow: people.set_role(uow, who, name, Role(role)), as_json)


@users.command
@click.argument("name")
@accounted
@json_option
def disable(*, name: str, who: Act, as_json: bool) -> None:
    """Stop NAME from signing in, and end their sessions. What they did stays in the audit."""
    from crmsync import people

    _changed(lambda uow: people.set_disabled(uow, who, name, True), as_json)


@users.command
@click.argument("name")
@accounted
@json_option
def enable(*, name: str, who: Act, as_json: bool) -> None:
    """Let NAME sign in again, with the same password."""
    from crmsync import people

    _changed(lambda uow: people.set_disabled(uow, who, name, False), as_json)


@users.command("set-password")
@click.argument("name")
@click.option(
    "--password-stdin", is_flag=True, help="Read the password from stdin (default: generate one and show it)."
)
@accounted
@json_option
def set_password(*, name: str, password_stdin: bool, who: Act, as_json: bool) -> None:
    """Give NAME a new password, and end their sessions."""
    from crmsync import people

    password, services = _password(password_stdin), open_services()
    with services.store.begin() as uow:
        user = people.set_password(uow, who, name, password)
    if as_json:
        screen.print_json(asdict(user) | ({} if password_stdin else {"password": password}))
    elif password_stdin:
        screen.console().print(f"✓ {user.name} has a new password.")
    else:
        _print_made(user.name, password, services.settings.tower_url)


def _changed(change: Callable[[UnitOfWork], User], as_json: bool) -> None:
    with open_services().store.begin() as uow:
        user = change(uow)
    if as_json:
        screen.print_json(asdict(user))
    else:
        state = "disabled" if user.is_disabled else user.role.value
        screen.console().print(f"✓ {user.name}: {state}.")


def _password(from_stdin: bool) -> str:
    """One that was made, or what stdin says: the words of a command can be seen by everybody on the machine."""
    if not from_stdin:
        return new_secret()
    if can_ask():
        return str(click.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))
    return sys.stdin.readline().rstrip("\r\n")
