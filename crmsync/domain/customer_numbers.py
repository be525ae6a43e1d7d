"""The format of a customer number, wherever a person enters one."""

from __future__ import annotations

import re

LENGTH_MAX = 40
PATTERN = rf"[A-Za-z0-9][A-Za-z0-9_\-]{{0,{LENGTH_MAX - 1}}}"  # as a browser reads it, too
RULE = f"up to {LENGTH_MAX} letters, digits, - and _, of which the first is a letter or a digit"


def customer_number(text: str) -> str:
    """*text* as a number, without the blanks around it. Whether it exists only its system knows.

    Raises: ValueError, with the rule.

    >>> customer_number(" C_10-01 "), customer_number("46000000012345")
    ('C_10-01', '46000000012345')
    """
    number = text.strip()
    if not re.fullmatch(PATTERN, number):
        raise ValueError(f"expected {RULE}")
    return number
