"""Decides whether two names are one company's: ignoring case, accents, punctuation, and a missing legal form."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import NamedTuple

# As they stand at the end of a name, without punctuation; what is written in several ways has one form.
_FORMS = {
    **{form: form for form in """
    ab ag aps as asa bhd bv bvba cc co coop cv dac doo eg ehf ek eurl eirl gbr gmbh hf ika inc jsc kda kft kg kgaa kk
    lda llc llp lp ltd ltda mbh nv oe og ohg oo ooo oy oyj pao pc plc pt pte pty pvt sa sab sarl sas sasu scs sdn se sia
    sl slu sll snc spa spj spk spzoo srl sro uab ug vof zao zrt
    """.split()},
    "aktiengesellschaft": "ag",
    "company": "co",
    "corp": "corp",
    "corporation": "corp",
    "gesellschaftmitbeschrankterhaftung": "gmbh",
    "incorporated": "inc",
    "limited": "ltd",
    "limitada": "ltda",
    "private": "pvt",
    "kommanditgesellschaft": "kg",
}  # fmt: skip
_CONNECTORS = frozenset({"and", "und", "et", "y", "i", "og", "och", "en", "e"})
_UMLAUTS = str.maketrans({"ä": "ae", "ö": "oe", "ü": "ue", "å": "aa", "ø": "oe"})
_STROKES = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ı": "i", "æ": "ae", "œ": "oe", "þ": "th", "ð": "d"})
_ABBREVIATION = re.compile(r"\b(?:\w\.\s?){1,5}(?:\w\b)?")  # S.A., S. p. A., e.K.
_SPELLED = re.compile(r"\b(g\.?\s?m\.?\s?b\.?\s?h|sp\.?\s?z\.?\s?o\.?\s?o|a/s|s/a|haftungsbeschr[aä]n?kt)\b\.?")
_APOSTROPHES = re.compile("['’‘`´]")
_NO_WORD = re.compile(r"[\W_]+")
_LAST_ACCENT = "\u08ff"  # marks up to here may be left out (é, ё, vowel points); later ones are letters (ガ, की)


class _Name(NamedTuple):
    core: str
    forms: tuple[str, ...]


def same_company_name(one: str, other: str) -> bool:
    """Whether two names may be taken for one company's, beside another key that is the same.

    A legal form may be missing on one side. Two different ones are two companies.

    >>> same_company_name("MÜLLER & Söhne G.m.b.H.", "Mueller und Soehne GmbH")
    True
    >>> same_company_name("Straße 7 Verlag", "STRASSE 7 VERLAG Ltd."), same_company_name("Muster GmbH", "Muster AG")
    (True, False)
    >>> same_company_name("Acme Pvt. Ltd.", "ACME Private Limited"), same_company_name("GmbH", "AG")
    (True, False)
    """
    return any(_same(a, b) for a in _readings(one) for b in _readings(other))


def _same(one: _Name, other: _Name) -> bool:
    has_same_form = one.forms == other.forms or not one.forms or not other.forms
    return bool(one.core) and one.core == other.core and has_same_form


@lru_cache(maxsize=512)
def _readings(name: str) -> tuple[_Name, ...]:
    """ü is written u or ue where it can't be written."""
    text = unicodedata.normalize("NFKC", name).casefold()
    return tuple({_read(text.translate(_UMLAUTS)), _read(text)})


def _read(text: str) -> _Name:
    flat = "".join(each for each in unicodedata.normalize("NFKD", text) if not _is_accent(each))
    flat = _APOSTROPHES.sub("", flat.translate(_STROKES)).replace("&", " and ").replace("+", " and ")
    flat = _SPELLED.sub(lambda found: _NO_WORD.sub("", found[0]) + " ", flat)
    flat = _ABBREVIATION.sub(lambda found: _NO_WORD.sub("", found[0]) + " ", flat)
    parts = "".join(each if each.isalnum() or _is_mark(each) else " " for each in flat).split()
    words = [word for word in parts if not word.startswith("haftungsbesch")]
    inner = range(1, len(words) - 1)  # the first or last word joins nothing: "Plan E"
    return _split(["and" if place in inner and word in _CONNECTORS else word for place, word in enumerate(words)])


def _is_accent(character: str) -> bool:
    return unicodedata.combining(character) > 0 and character <= _LAST_ACCENT


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def _split(words: list[str]) -> _Name:
    """The name before its legal form, "GmbH and Co KG" included; a name of nothing else has no core."""
    forms: list[str] = []
    while words and (words[-1] in _FORMS or (forms and words[-1] == "and")):
        word = words.pop()
        if word != "and":
            forms.insert(0, _FORMS[word])
    return _Name("".join(words), tuple(forms))
