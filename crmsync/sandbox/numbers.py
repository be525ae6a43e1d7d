"""Numbers as strangers write them: only what a vendor's columns can hold is one."""

import re
from decimal import Decimal, InvalidOperation
from typing import Any

LONGEST = 40  # digits before or after the point
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
