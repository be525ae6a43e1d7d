"""What can be set about the S/4HANA stand-in."""

from dataclasses import dataclass, replace
from typing import Self


@dataclass
class SapProfile:
    """`create_response` is "full" or "bare" (computed values still null in the answer to a create).

    `padded_materials` shows numeric material numbers with the leading zeros they are stored with; else they are
    trimmed, as the conversion exit of most systems does; `padded_customers` does the same for business partners and
    customers. `expanded_page_size` is how many entities an expanded link shows before it goes on by `__next` (0: all).
    `lag_seconds` is how long a fresh document stays off the lists; at its own address it is there at once.
    `client` is the only one that its host serves: a call that names another is not signed in.
    `missing_services` are those that no communication arrangement of the user has.
    """

    client: str = "100"
    user: str = "CRMSYNC_API"
    password: str = "sandbox-sap-secret"
    sales_organization: str = "1010"
    distribution_channel: str = "10"
    division: str = "00"
    order_type: str = "OR"
    plant: str = "1010"
    create_response: str = "full"
    own_customer_numbers: bool = False
    page_size: int = 1000
    padded_materials: bool = False
    padded_customers: bool = False
    expanded_page_size: int = 0
    lag_seconds: float = 0.0
    missing_services: tuple[str, ...] = ()
    warn_materials: tuple[str, ...] = ("SENSOR-OLD",)

    def of_another(self, number: int) -> Self:
        """The same for the system of another company: with a client and credentials of its own."""
        return replace(
            self,
            client=f"{number * 100 % 1000 + number // 10:03d}",
            user=f"{self.user}_{number}",
            password=f"{self.password}-{number}",
        )
