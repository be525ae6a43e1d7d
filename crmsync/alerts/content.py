"""What an alert says: the deal, the company, the amount, the system, the step, the cause, and the next command."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any

from crmsync.connectors.registry import systems
from crmsync.domain.accounts import Refusal
from crmsync.domain.dead_letters import DeadLetter, LetterKind
from crmsync.domain.learned import LevelsWritten
from crmsync.domain.ledger import number_of
from crmsync.domain.runs import Run
from crmsync.domain.second_look import Seen
from crmsync.errors import CrmsyncError
from crmsync.plain import visible

Content = Mapping[str, Any]  # as JSON: headline, facts (name and value), cause, advice, command

_HEADLINES = {
    LetterKind.FAILURE: "{} is stuck",
    LetterKind.DATA: "{} must be corrected",
    LetterKind.REVIEW: "{} needs your decision",
}
_HELD = "{} is held until you decide"
_NAMED = {"deal": "A deal", "payment": "A payment", "invoice": "The payment of an invoice"}

_ADVICE = {
    LetterKind.FAILURE: "When the cause is gone, replay it; what is done already is not repeated.",
    LetterKind.DATA: "Correct it there and close the deal again, or replay it.",
    LetterKind.REVIEW: "Decide, then replay it.",
}
_PASSING_ADVICE = "When the cause is gone, replay it; or wait: crmsync tries it again by itself."


def dead_letter_alert(
    letter: DeadLetter, *, subject: str, command: str, waiting: int = 1, words_at: str = ""
) -> Content:
    """*subject* is what people call what the run was for: "deal"; so many letters are *waiting* for the same cause.

    *words_at* is the command that shows what the system itself said, "" where it said nothing.
    """
    capital = subject[:1].upper() + subject[1:]
    named = _NAMED.get(subject, capital)
    facts = {
        **({"About": letter.title} if letter.is_only_one else {capital: letter.subject_key, "Company": letter.title}),
        "Amount": letter.money,
        "System": letter.system,
        "Step": f"{letter.flow}.{letter.step}",
        "Stuck in all": f"{waiting:,}" if waiting > 1 else "",
    }
    advice = letter.advice or (_PASSING_ADVICE if letter.is_passing else _ADVICE[letter.kind])
    return _content(
        (_HELD if letter.is_told_once else _HEADLINES[letter.kind]).format(named),
        facts,
        cause=visible(letter.cause),
        advice=f"{advice} What {letter.system or 'the system'} said: `{words_at}`" if words_at else advice,
        command=command,
    )


def stock_digest(
    outcome: LevelsWritten,
    *,
    unknown: int,
    first_unknown: Sequence[str],
    threshold: Decimal,
    link: str,
    command: str,
) -> Content:
    """The alert of an hour's inventory run: products newly low, newly refused, unknown to the ERP for the first time.

    Of *outcome* what is low, at most ten of it by code and quantity, and what of that could not be written; and what
    was refused.
    """
    facts = {
        "Newly low": outcome.newly_low,
        "Newly refused": outcome.newly_refused,
        "Not in the ERP": unknown,
    }
    parts = [
        _list(
            f"Less than {threshold:,} left",
            [f"{code}: {left}" for code, left in outcome.lowest],
            outcome.newly_low,
        ),
        _list("Low, and not written to the CRM", outcome.first_low_unwritten, outcome.low_unwritten),
        _list("Refused", [f"{reason.rstrip('.')}: {count:,}" for reason, count in outcome.reasons.items()][:10]),
        _list("No such material", list(first_unknown), unknown),
    ]
    headline = f"{_products(outcome.newly_low)} low on stock" if outcome.newly_low else "Stock changes"
    return _content(
        headline,
        {name: f"{count:,}" for name, count in facts.items() if count},
        cause="\n".join(filter(None, parts)),
        advice=f"All of them: {link}",
        command=command,
    )


def _list(title: str, items: Sequence[str], count: int = 0) -> str:
    more = f" … and {count - len(items):,} more" if count > len(items) else ""
    return f"{title}: {', '.join(visible(item) for item in items)}{more}." if items else ""


def _products(count: int) -> str:
    return "1 product is" if count == 1 else f"{count:,} products are"


def silence_alert(system: str, *, last_at: str, healed: int, command: str) -> Content:
    """Events of *system* reach us by catch-up only; *last_at* is when its last webhook came, "" for never."""
    return _content(
        f"{system} sends no webhooks",
        {"System": system, "Last webhook": last_at or "never", "Found by catch-up": f"{healed:,}"},
        cause=f"{system} has changed, but its webhooks do not arrive. Nothing is lost, only delayed.",
        advice="Check the automation there that sends them, its address and its secret.",
        command=command,
        tells_end=True,
    )


_REASONS = {
    "missing": "no signature or secret was sent",
    "format": "the signature or secret has the wrong format",
    "mismatch": "the signature or secret is wrong",
    "stale": "signed more than five minutes ago",
    "organization": "sent by another organisation",
    "closed": "no secret is set here, or this form is switched off",
    "malformed": "the body can't be read",
    "too_large": "the body is too large",
    "type": "the body has the wrong type or encoding",
    "method": "the wrong HTTP method; POST is right",
    "address": "an unknown address below /webhook",
    "left_out": "a notification without a deal was left out",
    "not_stored": "the database did not answer",
}


def refusal_name(door: str, reason: str) -> str:
    """What was refused where, for people."""
    doors = [each for system in systems().values() for each in system.doors]
    names = {form: name for each in doors for form, name in each.forms.items()} | {"unknown": "no door"}
    return f"{names.get(door, door)}: {_REASONS.get(reason, reason)}"


def refusal_alert(totals: Sequence[tuple[str, str, int]], *, command: str) -> Content:
    """*totals* are doors, reasons, and how many were refused there for it until now."""
    return _content(
        "Webhooks are refused",
        {refusal_name(door, reason): f"{count:,} until now" for door, reason, count in totals[:10]},
        cause="Calls to a webhook endpoint were refused. Either a sender's settings do not match, or "
        "somebody else calls.",
        advice="“Refused webhooks” in docs/runbook.md explains each reason; correct the sender. The log "
        "has the latest refusals. What was announced is not lost: catch-up finds it, later.",
        command=command,
        counts=True,
    )


def outage_alert(system: str, *, failures: int, reason: str = "", command: str, stuck: int = 0) -> Content:
    """*stuck* dead letters wait for it.

    *reason*: a sentence that says why the system can't be used, and what to do; "" where it does not answer.
    """
    held = "crmsync holds the runs that need it and checks from time to time whether it answers again."
    return _content(
        f"{system} can't be used" if reason else f"{system} does not answer",
        {"System": system, "Failures in a row": f"{failures:,}", "Dead letters": f"{stuck:,}" if stuck else ""},
        cause=f"{reason} {held}".strip(),
        advice="Nothing is lost, and runs and dead letters go on by themselves. Check the system; you are "
        "notified when "
        "it answers again.",
        command=command,
        tells_end=True,
    )


def recovery_alert(system: str, *, since: str, command: str) -> Content:
    return _content(
        f"{system} answers again",
        {"System": system, "Down since": since},
        cause="The runs that waited for it go on by themselves.",
        advice="So do the dead letters of the outage; a replay does not wait for the next sweep.",
        command=command,
    )


def held_order_alert(run: Run, system: str, *, order: str, holds: str, command: str) -> Content:
    return _content(
        "An order is held back",
        {**_deal_of(run), "Order": order, "System": system},
        cause=f"The order {order} was made, but {holds}. The deal is billed all the same (CRMSYNC_HELD_ORDERS).",
        advice="Complete or release it in that system.",
        command=command,
    )


def unmailed_alert(run: Run, system: str, *, invoice: str, command: str) -> Content:
    return _content(
        "An invoice waits to be mailed",
        {**_deal_of(run), "Invoice": invoice, "System": system},
        cause=f"The invoice {invoice} was made, but its deal has no e-mail address to mail it to.",
        advice="Mail it from that system, or send it to the customer in another way.",
        command=command,
    )


def other_currency_alert(run: Run, system: str, *, invoice: str, currency: str, command: str) -> Content:
    return _content(
        "A deal is paid in another currency",
        {**_deal_of(run), "Invoice": invoice, "System": system},
        cause=f"A payment arrived for the invoice {invoice}, which is in {currency}, but its deal is in "
        f"{run.currency}. The "
        "deal's field for the amount stays empty, and its state says in words what was paid.",
        advice=f"If it was sold in {currency}, give the deal that currency, and accept the change when you are asked. "
        "Otherwise leave it, or settle it with the customer: take the payment off, void the invoice or credit "
        "it, and have "
        f"it made again in {run.currency}.",
        command=command,
    )


def changed_order_alert(run: Run | None, system: str, *, order: str, problem: str, command: str) -> Content:
    """*run* is None where the deal of the order is not known any more."""
    return _content(
        "An order is not as it was made",
        {**(_deal_of(run) if run else {}), "Order": order, "System": system},
        cause=f"{system} confirmed the order {order}, but it {problem}.",
        advice="Check the order and the invoice, which was made from the deal, and correct what is wrong.",
        command=command,
    )


def twice_alert(run: Run | None, seen: Sequence[Seen], *, command: str) -> Content:
    """*seen* are the older and the newer document of one kind that both stand for one deal."""
    older, newer = seen
    kind, system = older.entry.key.kind, older.system
    how = f"void or delete {older.name}, or credit it in full" if kind == "invoice" else f"reject {older.name}"
    return _content(
        f"Two {kind}s stand for one deal",
        {
            **(_deal_of(run) if run else {}),
            f"{kind.capitalize()}s": " and ".join(number_of(each.entry.document or {}) for each in seen),
            "System": system,
        },
        cause=f"The {older.says}. It had been taken back, and stands again beside the one that was made in its place: "
        f"the {newer.says}.",
        advice=f"Take one of them back in {system}: {how}, for crmsync goes by {newer.name}, whose number the deal "
        "carries. If the older one should stay: docs/runbook.md, “Two orders or two invoices stand for one deal”.",
        command=command,
    )


def _deal_of(run: Run) -> Mapping[str, str]:
    return {"Deal": run.subject_key, "Company": run.title, "Amount": run.money}


def untold_sellers_alert(system: str, error: CrmsyncError, *, words: Sequence[str], command: str) -> Content:
    """*words* are the states that the field of a deal must be able to hold."""
    return _content(
        f"Sellers can't see what their deals wait for: {system} does not accept it",
        {"System": system},
        cause=f"{visible(str(error))} Nothing else is held back by it.",
        advice=f"{error.advice or 'Look at the fields and rules of the deal there.'} The field for the state of a deal "
        f"must accept the texts {', '.join(words)}. What else it needs: docs/runbook.md, “What the seller sees”.",
        command=command,
    )


def account_alert(refusal: Refusal, *, command: str) -> Content:
    return _content(
        f"{refusal.system} is another account now",
        {"System": refusal.system},
        cause=f"{refusal.sentence} Nothing is read or written there until that is settled; its runs wait.",
        advice=refusal.advice,
        command=command,
        tells_end=True,
    )


def watch_alert(headline: str, *, cause: str, advice: str, command: str) -> Content:
    """What is wrong with crmsync itself, and not with a run or a system."""
    return _content(headline, {}, cause=cause, advice=advice, command=command, tells_end=True)


def _content(
    headline: str,
    facts: Mapping[str, str],
    *,
    cause: str,
    advice: str,
    command: str,
    tells_end: bool = False,
    counts: bool = False,
) -> Content:
    """*tells_end*: people hear that it is solved also where their message can't be changed any more. *counts*: the
    facts say how often it happened, and the alert, which was made for many at once, does not."""
    known = [[name, value] for name, value in facts.items() if value]
    told = {"headline": headline, "facts": known, "cause": cause, "advice": advice, "command": command}
    return told | ({"tells_end": True} if tells_end else {}) | ({"counts": True} if counts else {})


def solved(content: Mapping[str, Any], at: datetime) -> Content:
    """What people read of an alert whose cause is gone: there is nothing to do."""
    end = content.get("end") or {**content, "headline": f"Solved: {content['headline']}"}
    facts = [*end["facts"], ["Solved", f"{at:%Y-%m-%d %H:%M} UTC"]]
    return {**end, "facts": facts, "advice": "", "command": "", "solved": True}


def as_text(content: Mapping[str, Any], occurrences: int) -> str:
    """One line, for the log; escape() it for Slack's notifications."""
    facts = ", ".join(f"{name.lower()} {value}" for name, value in content["facts"])
    told = f"{facts}. {content['cause']}" if facts else content["cause"]
    following = f" Next: {content['command']}" if content["command"] else ""
    return f"{headline(content, occurrences)}: {told}{following}"


def headline(content: Mapping[str, Any], occurrences: int) -> str:
    """The first line, with how often it happened."""
    first = str(content["headline"])
    is_counted = occurrences > 1 and not content.get("solved") and not content.get("counts")
    return f"{first} ({occurrences} times; the latest)" if is_counted else first
