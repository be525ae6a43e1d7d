"""An amount and its currency; amounts are Decimal from the first byte to the database."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_HALF_UP, Decimal

from crmsync.domain.kept import Kept

# ISO 4217 currencies whose smallest unit is not 1/100.
_DECIMALS = {
    **dict.fromkeys("BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF".split(), 0),
    **dict.fromkeys("BHD IQD JOD KWD LYD OMR TND".split(), 3),
    **dict.fromkeys("CLF UYW".split(), 4),
}


def decimals_of(currency: str) -> int:
    """How many digits *currency* has after the point.

    >>> [decimals_of(currency) for currency in ("USD", "JPY", "KWD", "CLF")]
    [2, 0, 3, 4]
    """
    return _DECIMALS.get(currency, 2)


@dataclass(frozen=True, slots=True)
class Money(Kept):
    """*amount* in units of *currency* (ISO 4217); kept as {"amount": "47000.00", "currency": "USD"}."""

    amount: Decimal
    currency: str

    @classmethod
    def of(cls, amount: str | int | Decimal, currency: str) -> Money:
        return cls(Decimal(amount), currency)

    def rounded(self) -> Money:
        """To the smallest unit of the currency, half up; nothing is 0 and never -0.

        >>> Money.of("1.005", "EUR").rounded().amount, Money.of("12.5", "JPY").rounded().amount
        (Decimal('1.01'), Decimal('13'))
        >>> Money.of("-0.001", "EUR").rounded().amount
        Decimal('0.00')
        """
        unit = Decimal(1).scaleb(-decimals_of(self.currency))
        amount = self.amount.quantize(unit, ROUND_HALF_UP)
        return Money(amount if amount else abs(amount), self.currency)

    def equals(self, other: Money) -> bool:
        """True if both are the same sum of the same currency, to its smallest unit.

        >>> Money.of("47000", "USD").equals(Money.of("47000.004", "USD"))
        True
        >>> Money.of("47000", "USD").equals(Money.of("47000", "EUR"))
        False
        """
        return self.rounded() == other.rounded()

    def __str__(self) -> str:
        """'47,000.00 USD'"""
        return f"{self.rounded().amount:,} {self.currency}"
