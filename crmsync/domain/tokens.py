"""An access token of a vendor, and how often a new one may be requested."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, repr=False)
class AccessToken:
    """A token; *instance_url* is where its API lives, and *account* whose it is, for vendors that say so."""

    value: str
    expires_at: datetime
    instance_url: str = ""
    account: str = ""


@dataclass(frozen=True, slots=True)
class RenewalLimit:
    """At most *count* renewals in any *seconds*."""

    count: int
    seconds: float
