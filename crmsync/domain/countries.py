"""A country as people write it, as its ISO 3166 code."""

from __future__ import annotations

from functools import lru_cache

import pycountry

# What people write and ISO 3166 does not know.
_COUNTRY_ALIASES = {
    "BRUNEI": "BN",
    "BURMA": "MM",
    "CAPE VERDE": "CV",
    "ENGLAND": "GB",
    "GREAT BRITAIN": "GB",
    "HOLLAND": "NL",
    "IVORY COAST": "CI",
    "KOSOVO": "XK",
    "MACAU": "MO",
    "MACEDONIA": "MK",
    "NORTHERN IRELAND": "GB",
    "PALESTINE": "PS",
    "RUSSIA": "RU",
    "SCOTLAND": "GB",
    "SWAZILAND": "SZ",
    "TURKEY": "TR",
    "UAE": "AE",
    "UK": "GB",
    "VATICAN CITY": "VA",
    "WALES": "GB",
}


@lru_cache(maxsize=512)
def country_code(country: str) -> str:
    """The ISO 3166 alpha-2 code of a country given by name or code; "" for one that is unknown.

    >>> country_code("Germany"), country_code("usa"), country_code("The Netherlands"), country_code("Atlantis")
    ('DE', 'US', 'NL', '')
    """
    name = country.strip().upper().removeprefix("THE ")
    if name in _COUNTRY_ALIASES:
        return _COUNTRY_ALIASES[name]
    try:
        return str(pycountry.countries.lookup(name).alpha_2)
    except LookupError:
        return ""
