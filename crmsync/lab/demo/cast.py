"""Who plays: what runs where at the beginning, and how to look around at the end."""

from __future__ import annotations

import os
import shlex
import shutil
import sys

from crmsync import embedded
from crmsync.lab.demo.narrator import Narrator
from crmsync.lab.demo.world import World
from crmsync.passwords import TOWER_USER


def explain(narrator: Narrator) -> None:
    narrator.title("crmsync keeps Salesforce, SAP S/4HANA and Zoho Books consistent with each other.")
    narrator.say(
        "A deal that is won in Salesforce becomes an order in SAP and an invoice in Zoho Books, and their numbers "
        "return to the deal; so do payments, and the stock of SAP reaches the products. Nothing that was accepted is "
        "lost, and nothing is made twice, whatever goes wrong. This demo runs all of crmsync on this machine for a "
        "minute; three stand-ins, as strict as the real systems, take their place. Every number below is read "
        "back from "
        "them. Times count from the moment that a chapter begins to wait."
    )


def introduce(world: World, narrator: Narrator) -> None:
    narrator.chapter("What runs where")
    narrator.facts(
        {
            "Salesforce": f"{world.sandbox.salesforce.url}  the CRM: deals are won here (a stand-in)",
            "SAP S/4HANA": f"{world.sandbox.sap.url}  the ERP: orders, stock (a stand-in)",
            "Zoho Books": f"{world.sandbox.zoho.url}  the books: invoices, payments (a stand-in)",
            "Slack": f"{world.slack.url}  alerts (a stand-in)",
            "crmsync receiver": f"{world.url}/webhook/salesforce/deal-closed",
            "crmsync worker, beat": "Celery, from the same Procfile as in production",
            "Redis": f"{embedded.find_server()}, started by crmsync on a private socket",
            "Database": f"SQLite, {world.home / 'crmsync.db'}",
            **_screens(world),
        }
    )
    narrator.step("crmsync", "everything runs", seconds=world.start_seconds)


def _screens(world: World) -> dict[str, str]:
    return {
        "Control tower": f"{world.sign_in_link()}  signs you in, once",
        "later": f"{world.url}/  user {TOWER_USER}, password {world.password}",
        "Flower": f"{world.flower_url}  the same user and password",
    }


def say_how_to_look_around(world: World, narrator: Narrator) -> None:
    """Everything goes on running."""
    narrator.chapter("Now you")
    narrator.say("Everything keeps running until you press Ctrl-C. Explore it, in a browser or in another shell:")
    narrator.facts(_screens(world))
    narrator.say("")
    commands = ["crmsync runs list", "crmsync inventory show", "crmsync limits", "celery -A crmsync dead-letters list"]
    for command in [*_path_first(), *map(world.command, commands), _more_deals(world)]:
        narrator.typed(command, [])


def _path_first() -> list[str]:
    """The commands of a virtual environment that is not active are not found by their names."""
    folder = os.path.dirname(sys.executable)
    if shutil.which("crmsync") == os.path.join(folder, "crmsync"):
        return []
    return [f"export PATH={shlex.quote(folder)}:$PATH"]


def _more_deals(world: World) -> str:
    body = '{"deals": 20, "customers": 5, "webhook": "json"}'
    return f"curl -s {world.sandbox.control_url}/control/deals/bulk -d '{body}'  # twenty more deals"
