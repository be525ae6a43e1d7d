"""Local stand-ins of Salesforce, SAP S/4HANA and Zoho Books: as strict as the vendors, with faults on demand.

with Sandbox() as sandbox:
    deal = sandbox.deals.create()
    sandbox.deals.close(deal.id)
    ...
    assert len(sandbox.ledger()["orders"]) == 1
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crmsync.lab.sandbox.sandbox import Sandbox
    from crmsync.lab.sandbox.world import SandboxProfile

__all__ = ["Sandbox", "SandboxProfile"]


def __getattr__(name: str) -> Any:
    """Load the stand-ins when they are asked for, so that importing the package costs nothing."""
    if name not in __all__:
        raise AttributeError(name)
    from crmsync.lab.sandbox import sandbox

    return getattr(sandbox, name)
