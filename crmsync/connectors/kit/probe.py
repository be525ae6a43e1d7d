"""The signed test message by which `crmsync doctor` checks a webhook's secret: it is accepted, and starts nothing."""

from __future__ import annotations

import json
import re
import secrets

ANSWER = {"status": "probe"}

_IN_XML = re.compile(rb"<probe>([A-Za-z0-9]{0,18})</probe>")
_BYTES_MAX = 100  # no message of a vendor is so short and so shaped


def body() -> bytes:
    """A message that is_probe() knows, and no other like it."""
    return json.dumps({"probe": secrets.token_hex(8)}).encode()


def is_probe(body: bytes) -> bool:
    """
    >>> is_probe(b'{"probe": "4f1c"}'), is_probe(b'{"probe": "4f1c", "opportunityId": "006"}'), is_probe(b"<probe/>")
    (True, False, False)
    """
    if len(body) > _BYTES_MAX:
        return False
    try:
        told = json.loads(body)
    except ValueError:
        return False
    return isinstance(told, dict) and list(told) == ["probe"] and isinstance(told["probe"], str)


def organization_of(body: bytes) -> str | None:
    """What a probe at the door of Outbound Messages says of its sender; None for a body that is no probe.

    >>> organization_of(b"<probe>00D000000000001</probe>"), organization_of(b"<Envelope/>")
    ('00D000000000001', None)
    """
    found = _IN_XML.fullmatch(body)
    return found[1].decode() if found else None
