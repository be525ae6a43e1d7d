"""A customer as the CRM knows it, and as it was found in another system."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from crmsync.domain.kept import known


@dataclass(frozen=True, slots=True)
class Address:
    street: str = ""
    city: str = ""
    postal_code: str = ""
    region: str = ""
    country: str = ""  # as the CRM has it: a name or an ISO 3166 code


@dataclass(frozen=True, slots=True)
class Customer:
    """A customer of the CRM; *key* is its id there."""

    key: str
    name: str
    email: str = ""
    first_name: str = ""
    last_name: str = ""
    tax_number: str = ""
    address: Address = Address()

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Customer:
        return cls(**{**known(cls, value), "address": Address(**known(Address, value["address"]))})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class CustomerMatch:
    """A customer in the ERP or in the books. *key* is what documents refer to; *matched_by* says why it fits."""

    key: str
    name: str
    matched_by: str
