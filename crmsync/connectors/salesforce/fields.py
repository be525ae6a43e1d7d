"""Field types that only Salesforce has."""

from __future__ import annotations

from decimal import Decimal
from functools import partial
from typing import Any

from crmsync.connectors.kit.fields import Key, Number
from crmsync.connectors.salesforce.ids import BULK_JOB_PREFIX, full_id

_SURE_DIGITS = 15  # of a double
_KEPT_DECIMALS = 4  # as many as any currency has

Id = partial(Key, canonical=full_id)
BulkJobId = partial(Key, canonical=partial(full_id, prefix=BULK_JOB_PREFIX))


class Double(Number):
    """A price or a quantity, which the API works out and keeps as a double, with all its decimals."""

    def _validated(self, value: Any) -> Decimal:
        return without_noise(super()._validated(value))


def without_noise(number: Decimal) -> Decimal:
    """*number* without what a double can't be sure of, behind its fifteenth digit; no cent of a large sum is touched.

    >>> [str(without_noise(Decimal(text))) for text in ("0.30000000000000004", "50.004999999999995", "47000.0")]
    ['0.3', '50.005', '47000.0']
    >>> without_noise(Decimal("12345678901234.565"))
    Decimal('12345678901234.565')
    """
    digits = max(_SURE_DIGITS - 1 - number.adjusted(), _KEPT_DECIMALS)
    rounded = round(number, digits)
    return number if rounded == number else Decimal(f"{rounded.normalize():f}")
