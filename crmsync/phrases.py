"""How screens and pages write counts, durations and names."""

from __future__ import annotations

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"))


def span(seconds: float) -> str:
    """A duration, in its largest unit.

    >>> span(0.42), span(59.9), span(61), span(7300), span(200_000)
    ('0.4 s', '59 s', '1 min', '2 h', '2 d')
    """
    return f"{max(seconds, 0):.1f} s" if seconds < 10 else whole_span(seconds)


def whole_span(seconds: float) -> str:
    """A duration to the second, in its largest unit.

    >>> [whole_span(seconds) for seconds in (0, 9.9, 59, 60, 7200, 200_000)]
    ['0 s', '9 s', '59 s', '1 min', '2 h', '2 d']
    """
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"


def plural(count: int, one: str, many: str = "") -> str:
    """
    >>> plural(1, "run"), plural(1200, "run"), plural(0, "delivery", "deliveries")
    ('1 run', '1,200 runs', '0 deliveries')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def capital(text: str) -> str:
    """*text* with a capital to begin with: the rest stays as it is."""
    return text[:1].upper() + text[1:]


def about(subject: str, key: str, *, is_only_one: bool) -> str:
    """What a run is for, as people say it; a flow's only run needs no key.

    >>> about("payment", "46000000012345", is_only_one=False), about("inventory", "inventory", is_only_one=True)
    ('payment 46000000012345', 'inventory')
    """
    return subject if is_only_one else f"{subject} {key}"
