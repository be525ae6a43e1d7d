"""Numbers as strangers write them: only what a vendor's columns can hold is one; and how many digits a currency has."""

import re
from decimal import Decimal, InvalidOperation
from typing import Any

LONGEST = 40  # digits before or after the point
# ISO 4217: a currency that is not named here has two.
_PLACES = {
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}
_WHOLE = re.compile(r"[0-9]{1,9}")


def decimal_of(value: Any) -> Decimal | None:
    """
    >>> [decimal_of(value) for value in ("12.50", 7, "1E+400000000", "NaN", "x", True, None)]
    [Decimal('12.50'), Decimal('7'), None, None, None, None, None]
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float | Decimal):
        return None
    try:
        number = Decimal(str(value).strip())
    except (InvalidOperation, ValueError):  # ValueError: an integer of more digits than Python turns into text
        return None
    is_held = (
        number.is_finite() and abs(number.adjusted()) <= LONGEST and abs(int(number.as_tuple().exponent)) <= LONGEST
    )
    return number if is_held else None


def whole_of(text: str) -> int | None:
    """
    >>> [whole_of(text) for text in ("20", "007", "-1", "²", "9" * 5000)]
    [20, 7, None, None, None]
    """
    return int(text) if _WHOLE.fullmatch(text) else None


def places(currency: str) -> int:
    """
    >>> [places(currency) for currency in ("EUR", "JPY", "KWD")]
    [2, 0, 3]
    """
    return _PLACES.get(currency, 2)


def decimals(number: Decimal) -> int:
    """How many digits after the point count.

    >>> [decimals(Decimal(number)) for number in ("12.50", "0.0125", "1E+3")]
    [1, 4, 0]
    """
    return max(0, -int(number.normalize().as_tuple().exponent))
