"""What can be set about the sandbox: its own settings, and those of each company's accounts."""

from dataclasses import dataclass, field
from typing import Any

from crmsync.lab.sandbox.salesforce.profile import SalesforceProfile
from crmsync.lab.sandbox.sap.profile import SapProfile
from crmsync.lab.sandbox.zoho.profile import ZohoProfile

VENDORS = ("salesforce", "sap", "zoho")


@dataclass
class CompanyProfile:
    """The settings of one company's accounts."""

    salesforce: SalesforceProfile = field(default_factory=SalesforceProfile)
    sap: SapProfile = field(default_factory=SapProfile)
    zoho: ZohoProfile = field(default_factory=ZohoProfile)

    def apply(self, settings: dict[str, Any]) -> None:
        """Set fields by name, a vendor's with its name before. Raises TypeError for one that does not exist."""
        for name, value in settings.items():
            vendor, _, rest = name.partition("_")
            target = getattr(self, vendor) if vendor in VENDORS else self
            attribute = rest if target is not self else name
            if not hasattr(target, attribute):
                raise TypeError(f"Sandbox has no setting {name!r}")
            setattr(target, attribute, value)


@dataclass
class SandboxProfile(CompanyProfile):
    """All settings. `port_base` 0 takes free ports; else control, Salesforce, SAP, Zoho follow from it upwards.

    `companies` is for how many there are accounts; what is set of a vendor at the start holds for all of them.
    """

    port_base: int = 0
    seed: int = 0
    latency_seconds: float = 0.0
    receiver_url: str = "http://127.0.0.1:8000"
    companies: int = 1

    def of_company(self, number: int) -> CompanyProfile:
        """The first company's settings are these themselves."""
        if number == 1:
            return self
        return CompanyProfile(*(getattr(self, vendor).of_another(number) for vendor in VENDORS))
