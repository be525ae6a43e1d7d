"""Decides whether two tax numbers are the same, however they are written; and in which spellings to search for one.

A number counts with its country: that of its prefix, else the one of its record. The same digits in two countries are
two numbers. Where one of the two countries is not known, the digits alone are compared.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from crmsync.domain.countries import country_code


class Verdict(StrEnum):
    SAME = "same"
    DIFFERENT = "different"
    UNKNOWN = "unknown"  # there is none, or the two are of different kinds


@dataclass(frozen=True, slots=True)
class TaxNumber:
    """*country* is that of the record which holds the number, as a name or a code, "" where it says nothing."""

    number: str
    country: str = ""


@dataclass(frozen=True, slots=True)
class _Written:
    """How a country writes its number: *prefix* may be left out, *form* is what follows it."""

    prefix: str
    form: re.Pattern[str]


def _written(prefix: str, form: str) -> _Written:
    return _Written(prefix, re.compile(form))


# The group is what counts: the U of Austria, the MWST of Switzerland and the like may be left out.
_FORMS: dict[str, _Written] = {
    "AE": _written("AE", r"(\d{15})"),
    "AR": _written("AR", r"(\d{11})"),
    "AT": _written("AT", r"U?(\d{8})"),
    "AU": _written("AU", r"(\d{11})"),
    "BE": _written("BE", r"0?([1-9]\d{8}|1\d{9})"),
    "BG": _written("BG", r"(\d{9,10})"),
    "BR": _written("BR", r"(\d{14})"),
    "CH": _written("CHE", r"(\d{9})(?:MWST|TVA|IVA|VAT)?"),
    "CL": _written("CL", r"(\d{7,8}[0-9K])"),
    "CY": _written("CY", r"(\d{8}[A-Z])"),
    "CZ": _written("CZ", r"(\d{8,10})"),
    "DE": _written("DE", r"(\d{9})"),
    "DK": _written("DK", r"(\d{8})"),
    "EE": _written("EE", r"(\d{9})"),
    "ES": _written("ES", r"([A-Z]\d{7}[A-Z0-9]|\d{8}[A-Z])"),
    "FI": _written("FI", r"(\d{8})"),
    "FR": _written("FR", r"([A-Z0-9]{2}\d{9})"),
    "GB": _written("GB", r"(\d{9}|\d{12}|GD\d{3}|HA\d{3})"),
    "GR": _written("EL", r"(\d{9})"),
    "HR": _written("HR", r"(\d{11})"),
    "HU": _written("HU", r"(\d{8})(?:\d{3})?"),
    "IE": _written("IE", r"(\d[A-Z0-9]\d{5}[A-Z]{1,2})"),
    "IN": _written("IN", r"(\d{2}[A-Z]{5}\d{4}[A-Z][A-Z0-9]{3})"),
    "IT": _written("IT", r"(\d{11})"),
    "LT": _written("LT", r"(\d{9}|\d{12})"),
    "LU": _written("LU", r"(\d{8})"),
    "LV": _written("LV", r"(\d{11})"),
    "MT": _written("MT", r"(\d{8})"),
    "MX": _written("MX", r"([A-Z]{2,4}\d{6}[A-Z0-9]{3})"),
    "NL": _written("NL", r"(\d{9}B\d{2})"),
    "NO": _written("NO", r"(\d{9})(?:MVA)?"),
    "PL": _written("PL", r"(\d{10})"),
    "PT": _written("PT", r"(\d{9})"),
    "RO": _written("RO", r"(\d{2,10})"),
    "SA": _written("SA", r"(\d{15})"),
    "SE": _written("SE", r"(\d{10})(?:01)?"),
    "SI": _written("SI", r"(\d{8})"),
    "SK": _written("SK", r"(\d{10})"),
    "US": _written("US", r"(\d{9})"),
}
_OTHER_PREFIXES = {"GR": "GR", "CH": "CH", "GB": "XI"}  # as people write them beside EL, CHE and GB
# How a number is written for people where it is not in threes.
_FACES = {
    "AR": "##-########-#",
    "AU": "## ### ### ###",
    "BR": "##.###.###/####-##",
    "CL": "##.###.###-#",
    "DK": "## ## ## ##",
    "FI": "#######-#",
    "FR": "## ### ### ###",
    "GB": "### #### ##",
    "NL": "####.##.###.###",
    "PL": "###-###-##-##",
}
_LABEL = re.compile(
    r"^\s*(?:(?:EU[ -]?)?VAT(?:[ -]?(?:REG|ID))?|UST[ .-]?ID(?:[ .-]*NR)?|UID|GST(?:IN)?|EIN|TVA|BTW|P\.? ?IVA|NIF|CIF"
    r"|ABN|TRN|TAX[ -]?ID|MOMS|CVR|NIP|RFC|CNPJ|CUIT|RUT|INN|UEN)"
    r"(?:[ .]*(?:NO|NR|NUMBER|NUMMER))?[ .]*(?::|(?<=[ .]))\s*(?=.*\d)"
)
_SIGNS = re.compile(r"[^A-Z0-9]+")
_LEAST = 5  # digits, and not all the same: "n/a", "0", "00000000" say nothing
_ANYBODYS = frozenset({"XAXX010101000", "XEXX010101000"})  # of Mexico's final consumers and of foreigners


@dataclass(frozen=True, slots=True)
class _Read:
    """A number as it may be meant: *core* is what counts of it, *plain* how it was written, without signs."""

    country: str
    core: str
    plain: str


def compare(one: TaxNumber, other: TaxNumber) -> Verdict:
    """
    >>> compare(TaxNumber("DE 123.456.789"), TaxNumber("123456789", "Germany")).value
    'same'
    >>> compare(TaxNumber("123456789", "DE"), TaxNumber("123456789", "US")).value
    'different'
    >>> compare(TaxNumber("DE123456789"), TaxNumber("12/345/67890", "DE")).value
    'unknown'
    """
    return _verdict(_readings(one), _readings(other))


def compare_all(one: TaxNumber, others: Iterable[TaxNumber]) -> Verdict:
    """A record may have several: one that is the same decides, then one that differs."""
    verdicts = {compare(one, each) for each in others}
    return next((each for each in (Verdict.SAME, Verdict.DIFFERENT) if each in verdicts), Verdict.UNKNOWN)


def is_usable(number: str) -> bool:
    """Whether *number* may be a tax number at all.

    >>> is_usable("12-3456789"), is_usable("n/a"), is_usable("000 000 000")
    (True, False, False)
    """
    plain = _plain(number)
    digits = [each for each in plain if each.isdigit()]
    return len(digits) >= _LEAST and len(set(digits)) > 1 and plain not in _ANYBODYS


def spellings(wanted: TaxNumber) -> list[str]:
    """What to ask for where a filter compares letter by letter: as it is written, plain, grouped, with and without
    its prefix.

    >>> spellings(TaxNumber("DE123456789"))
    ['DE123456789', '123456789', 'DE 123456789', 'DE 123 456 789', 'DE-123456789', 'DE123 456 789', '123 456 789']
    """
    if not is_usable(wanted.number):
        return []
    found = [" ".join(wanted.number.upper().split()), _plain(wanted.number)]
    for reading in _readings(wanted):
        found += _forms_of(reading)
    return list(dict.fromkeys(each for each in found if each))


def _forms_of(read: _Read) -> list[str]:
    if read.country not in _FORMS or not _core(read.country, read.plain):
        return [read.core]
    return _FORMS_OF.get(read.country, _usual)(read)


def _usual(read: _Read) -> list[str]:
    other = _OTHER_PREFIXES.get(read.country)
    return [*_with_prefix(read), *([f"{other}{read.core}"] if other else [])]


def _with_prefix(read: _Read) -> list[str]:
    blocks, prefix = _face(read), _FORMS[read.country].prefix
    return [
        f"{prefix}{read.core}", read.core, f"{prefix} {read.core}", f"{prefix} {blocks}",
        f"{prefix}-{read.core}", f"{prefix}{blocks}", blocks,
    ]  # fmt: skip


def _american(read: _Read) -> list[str]:
    return [f"{read.core[:2]}-{read.core[2:]}", read.core, f"US{read.core}"]


def _austrian(read: _Read) -> list[str]:
    return [f"ATU{read.core}", f"U{read.core}", f"ATU {read.core}", f"AT U{read.core}", read.core]


def _swiss(read: _Read) -> list[str]:
    dotted = _grouped(read.core, ".")
    named = [f"CHE-{dotted} {tax}" for tax in ("MWST", "TVA", "IVA")]
    return [f"CHE{read.core}", f"CHE-{dotted}", *named, f"CHE{read.core}MWST", f"CHE {dotted}"]


def _belgian(read: _Read) -> list[str]:
    core = read.core.zfill(10)
    dotted = f"{core[:4]}.{core[4:7]}.{core[7:]}"
    return [f"BE{core}", core, f"BE {core}", f"BE {dotted}", f"BE{dotted}", dotted, f"BE{read.core}"]


def _swedish(read: _Read) -> list[str]:
    return [f"SE{read.core}01", f"SE {read.core}01", f"{read.core[:6]}-{read.core[6:]}", read.core]


def _norwegian(read: _Read) -> list[str]:
    blocks = _face(read)
    return [*_with_prefix(read), f"NO{read.core}MVA", f"{read.core}MVA", f"NO {blocks} MVA", f"{blocks} MVA"]


_FORMS_OF: Mapping[str, Callable[[_Read], list[str]]] = {
    "US": _american,
    "AT": _austrian,
    "CH": _swiss,
    "BE": _belgian,
    "SE": _swedish,
    "NO": _norwegian,
    "IN": lambda read: [read.core],
}


def _face(read: _Read) -> str:
    """The number as people of its country write it.

    >>> _face(_Read("GB", "123456789", "")), _face(_Read("DE", "123456789", ""))
    ('123 4567 89', '123 456 789')
    """
    face = _FACES.get(read.country, "")
    if face.count("#") != len(read.core):
        return _grouped(read.core, " ")
    signs = iter(read.core)
    return "".join(next(signs) if each == "#" else each for each in face)


def _grouped(core: str, sign: str) -> str:
    return sign.join(core[place : place + 3] for place in range(0, len(core), 3))


def _verdict(ones: list[_Read], others: list[_Read]) -> Verdict:
    pairs = [(one, other) for one in ones for other in others]
    if any(_is_same(one, other) for one, other in pairs):
        return Verdict.SAME
    if any(_are_comparable(one, other) for one, other in pairs):
        return Verdict.DIFFERENT
    return Verdict.UNKNOWN


def _is_same(one: _Read, other: _Read) -> bool:
    is_one_country = one.country == other.country or not one.country or not other.country
    return is_one_country and one.core == other.core


def _are_comparable(one: _Read, other: _Read) -> bool:
    """Two of one kind, or of two countries: a VAT number says nothing about a number of the income tax."""
    if one.country and other.country and one.country != other.country:
        return True
    country = one.country or other.country
    return _kind(country, one.plain) == _kind(country, other.plain)


def _kind(country: str, plain: str) -> str:
    """What the country calls VAT number, or a length."""
    return country if country in _FORMS and _core(country, plain) else str(len(plain))


def _readings(written: TaxNumber) -> list[_Read]:
    """What the number may mean; none for one that says nothing. A prefix counts before the record's country."""
    if not is_usable(written.number):
        return []
    plain, country = _plain(written.number), country_code(written.country) if written.country else ""
    prefixed = [_Read(each, core, plain) for each in _FORMS if (core := _prefixed_core(each, plain))]
    if prefixed:
        return prefixed[:1]
    if country:
        return [_Read(country, _core(country, plain) or plain.removeprefix(country), plain)]
    # Anybody's: as it stands, and as each country would read it.
    cores = [plain, *(core for each in _FORMS if (core := _core(each, plain)))]
    return [_Read("", core, plain) for core in dict.fromkeys(cores)]


def _core(country: str, plain: str) -> str:
    """What counts of a number of this country, with its prefix or without; "" if it is none."""
    match = _FORMS[country].form.fullmatch(plain) if country in _FORMS else None
    return match[1] if match else _prefixed_core(country, plain)


def _prefixed_core(country: str, plain: str) -> str:
    form = _FORMS.get(country)
    for prefix in (form.prefix, _OTHER_PREFIXES.get(country, form.prefix)) if form else ():
        match = form.form.fullmatch(plain.removeprefix(prefix)) if form and plain.startswith(prefix) else None
        if match:
            return match[1]
    return ""


def _plain(number: str) -> str:
    """Upper case, without blanks, dots, dashes, slashes and a label before it.

    >>> _plain("USt-IdNr.: de 123.456.789"), _plain("CHE-123.456.789 MWST")
    ('DE123456789', 'CHE123456789MWST')
    """
    text = unicodedata.normalize("NFKC", number).upper()
    return _SIGNS.sub("", _LABEL.sub("", text))
