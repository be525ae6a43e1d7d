"""`crmsync connections`: manages the accounts at other systems that companies work with, while everything runs."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from crmsync.cli import screen
from crmsync.cli.connection_input import secret_options, secrets_of, settings_options, sync_options, wanted_of
from crmsync.cli.failures import ListingGroup
from crmsync.cli.options import accounted, confirm, json_option, owner_option, yes_option
from crmsync.cli.process import open_services
from crmsync.cli.users import tenant_option

if TYPE_CHECKING:
    from crmsync.domain.audit import Act
    from crmsync.domain.connections import Connection


@click.group(cls=ListingGroup)
def connections() -> None:
    """Connections: accounts at other systems. Those from the environment are changed by its variables only."""


# -- to read


@connections.command("list")
@tenant_option
@click.option("--system", help="Only connections to this system.")
@click.option("--status", type=click.Choice(["active", "inactive", "error", "expired"]))
@json_option
def list_(*, tenant: str | None, system: str | None, status: str | None, as_json: bool) -> None:
    """List the connections, the environment's first."""
    from crmsync.connections import all_of

    found = all_of(open_services(check_accounts=False), tenant, system=system, status=status)
    if as_json:
        screen.print_json([_to_json(each) for each in found])
    elif found:
        columns = ["id", "tenant", "system", "name", "status", "last success (UTC)", "last error"]
        screen.console().print(screen.table(columns, [_row(each) for each in found]))
    else:
        screen.console().print("No connections yet: `crmsync connections add SYSTEM --name NAME` makes one.")


@connections.command()
@click.argument("connection_id", metavar="ID")
@tenant_option
@json_option
def show(*, connection_id: str, tenant: str | None, as_json: bool) -> None:
    """Show the connection ID with its settings; of its secrets, only which ones are set."""
    from crmsync.connections import show as shown

    _print(shown(open_services(check_accounts=False), tenant, connection_id), as_json=as_json)


# -- to make and change


@connections.command()
@click.argument("system")
@click.option("--name", required=True, help="Its display name; unique within a company.")
@owner_option
@settings_options
@sync_options
@accounted
@json_option
def add(*, system: str, name: str, tenant: str, who: Act, as_json: bool, **given: Any) -> None:
    """Create a connection to SYSTEM. Its guide in docs/setup/ says which settings it needs."""
    from crmsync.connections import create

    using = open_services(creates=True, check_accounts=False)
    wanted = wanted_of(system, name=name, asks=True, **given)
    with using.store.begin() as uow:
        made = create(using, uow, who, tenant, system, wanted)
    _print(made, as_json=as_json, done=f"✓ {made.id} is created. Test it: `crmsync connections test {made.id}`.")


@connections.command("set")
@click.argument("connection_id", metavar="ID")
@tenant_option
@click.option("--name", help="Its display name.")
@settings_options
@click.option("--unset", multiple=True, metavar="NAME", help="A setting or secret to reset to its default.")
@sync_options
@click.option("--same-account", is_flag=True, help="Confirm that it is the same account, under another address.")
@accounted
@json_option
def set_(
    *,
    connection_id: str,
    tenant: str | None,
    name: str | None,
    unset: tuple[str, ...],
    same_account: bool,
    who: Act,
    as_json: bool,
    **given: Any,
) -> None:
    """Change the connection ID: what is not named stays. It takes effect within two seconds."""
    from crmsync.connections import show as shown
    from crmsync.connections import update

    using = open_services(check_accounts=False)
    before = shown(using, tenant, connection_id)
    wanted = wanted_of(before.system, name=name, before=before, unset=unset, **given)
    change = partial(update, expected_version=before.version, is_same_account=same_account)
    with using.store.begin() as uow:
        changed = change(using, uow, who, tenant, connection_id, wanted)
    _print(changed, as_json=as_json, done=f"✓ {changed.id} has been changed.")


@connections.command()
@click.argument("connection_id", metavar="ID")
@tenant_option
@secret_options
@click.option("--make", multiple=True, metavar="NAME", help="A webhook secret to generate here; it is shown only once.")
@accounted
@json_option
def rotate(
    *,
    connection_id: str,
    tenant: str | None,
    files: tuple[str, ...],
    secrets_stdin: bool,
    make: tuple[str, ...],
    who: Act,
    as_json: bool,
) -> None:
    """Give the connection ID new secrets. The previous secret of a webhook stays valid as well."""
    from crmsync.connections import rotate as rotated

    given = secrets_of(files, from_stdin=secrets_stdin)
    if not given and not make:
        raise click.UsageError("Say which: --secret-file NAME=PATH, --secrets-stdin or --make NAME.")
    using = open_services(check_accounts=False)
    with using.store.begin() as uow:
        changed, made = rotated(using, uow, who, tenant, connection_id, given, made=make)
    if as_json:
        screen.print_json(_to_json(changed) | {"made": made})
        return
    screen.console(stderr=True).print(f"✓ {changed.id} has new secrets." + (" Shown only once:" if made else ""))
    for name, value in made.items():
        screen.console().print(f"{name} {value}", soft_wrap=True)


@connections.command()
@click.argument("connection_id", metavar="ID")
@tenant_option
@accounted
@json_option
def pause(*, connection_id: str, tenant: str | None, who: Act, as_json: bool) -> None:
    """Pause the connection ID: the runs that need it wait until it is resumed."""
    from crmsync.connections import pause as paused

    using = open_services(check_accounts=False)
    with using.store.begin() as uow:
        changed = paused(using, uow, who, tenant, connection_id)
    _print(changed, as_json=as_json, done=f"✓ {changed.id} is paused; its runs wait.")


@connections.command()
@click.argument("connection_id", metavar="ID")
@tenant_option
@accounted
@json_option
def resume(*, connection_id: str, tenant: str | None, who: Act, as_json: bool) -> None:
    """Resume the connection ID: the runs that wait for it continue."""
    from crmsync.connections import resume as resumed

    using = open_services(check_accounts=False)
    with using.store.begin() as uow:
        changed = resumed(using, uow, who, tenant, connection_id)
    _print(changed, as_json=as_json, done=f"✓ {changed.id} is resumed; its runs continue.")


@connections.command()
@click.argument("connection_id", metavar="ID")
@tenant_option
@click.option("--force", is_flag=True, help="Even if unfinished runs need it.")
@yes_option
@accounted
@json_option
def remove(*, connection_id: str, tenant: str | None, force: bool, yes: bool, who: Act, as_json: bool) -> None:
    """Delete the connection ID with everything stored about it: crmsync forgets all documents it has created there."""
    from crmsync.connections import delete
    from crmsync.connections import show as shown

    using = open_services(check_accounts=False)
    found = shown(using, tenant, connection_id)
    confirm(f"Delete {found.name}, with its links and all that is known about its documents?", yes=yes)
    with using.store.begin() as uow:
        gone = delete(using, uow, who, tenant, connection_id, is_forced=force)
    if as_json:
        screen.print_json({"id": connection_id, "gone": gone})
    else:
        screen.console().print(f"✓ {connection_id} has been deleted.")


# -- to try


@connections.command("test")
@click.argument("connection_id", metavar="ID")
@tenant_option
@json_option
@click.pass_context
def try_(ctx: click.Context, *, connection_id: str, tenant: str | None, as_json: bool) -> None:
    """Sign in with the connection ID and try what runs will do, without writing. Exit status 1 if it fails."""
    from crmsync.connection_trial import try_out

    found = try_out(open_services(check_accounts=False), tenant, connection_id)
    if as_json:
        screen.print_json(asdict(found))
    else:
        out = screen.console()
        out.print(f"{'✓' if found.success else '✗'} {found.message}", style="green" if found.success else "red")
        for each in found.missing[1:]:
            out.print(f"✗ {each}", style="red")
        out.print(f"The sign-in took {found.latency_seconds:.2f} s.")
    ctx.exit(0 if found.success else 1)


# -- to be let in


@connections.command()
@click.argument("connection_id", metavar="ID")
@tenant_option
@click.option("--no-wait", is_flag=True, help="Print the address and end.")
@accounted
@json_option
@click.pass_context
def authorize(
    ctx: click.Context,
    *,
    connection_id: str,
    tenant: str | None,
    no_wait: bool,
    who: Act,
    as_json: bool,
) -> None:
    """Let crmsync into the connection ID by consent in the browser: prints the page's address, and waits.

    Status 1 if no consent comes.
    """
    from crmsync.cli.consent import awaited
    from crmsync.consents import start

    using = open_services(check_accounts=False)
    with using.store.begin() as uow:
        started = start(using, uow, who, tenant, connection_id)
    if as_json and no_wait:
        screen.print_json({"authorize_url": started.address, "expires_at": started.request.expires_at})
    else:
        screen.console(stderr=True).print("Whoever may let crmsync in opens this within ten minutes:")
        screen.console(stderr=as_json).print(started.address, soft_wrap=True, highlight=False)
    if no_wait:
        return
    found = awaited(using, started.request)
    if as_json:
        screen.print_json({"connection": connection_id, "status": found.status.value, "message": found.message})
    else:
        done = found.is_done
        screen.console(stderr=True).print(f"{'✓' if done else '✗'} {found.message}", style="green" if done else "red")
    ctx.exit(0 if found.is_done else 1)


# -- what is shown


def _print(connection: Connection, *, as_json: bool, done: str = "") -> None:
    if as_json:
        screen.print_json(_to_json(connection))
    elif done:
        screen.console().print(done)
    else:
        screen.console().print(screen.pairs(_facts(connection)))


def _to_json(of: Connection) -> dict[str, Any]:
    return asdict(of)


def _row(of: Connection) -> tuple[object, ...]:
    return of.id, of.tenant, of.system, of.name, _state(of), _instant(of.last_success_at), of.last_error


def _state(of: Connection) -> str:
    return of.status.value if of.sync_enabled else f"{of.status.value}, sync off"


def _instant(at: Any) -> str:
    return f"{at:%Y-%m-%d %H:%M}" if at else ""


def _facts(of: Connection) -> dict[str, str]:
    facts = {
        "id": of.id,
        "tenant": of.tenant,
        "system": of.system,
        "name": of.name,
        "status": _state(of),
        "last success (UTC)": _instant(of.last_success_at),
        "last error": of.last_error,
        "version": "of the environment" if of.is_of_environment else str(of.version),
    }
    settings = {name: " ".join(value) if isinstance(value, list) else str(value) for name, value in of.settings.items()}
    return {**facts, **settings, **dict.fromkeys(of.secret_names, "***")}
