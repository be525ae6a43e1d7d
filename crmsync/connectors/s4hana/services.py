"""The OData services that crmsync uses, the parts it uses, and the communication scenario of each."""

from __future__ import annotations

from dataclasses import dataclass

from crmsync.connectors.s4hana import odata

PARTNER_SERVICE = "API_BUSINESS_PARTNER"
ORDER_SERVICE = "API_SALES_ORDER_SRV"
SIMULATION_SERVICE = "API_SALES_ORDER_SIMULATION_SRV"
STOCK_SERVICE = "API_MATERIAL_STOCK_SRV"
PRODUCT_SERVICE = "API_PRODUCT_SRV"

SCENARIOS = {
    PARTNER_SERVICE: "SAP_COM_0008",
    ORDER_SERVICE: "SAP_COM_0109",
    SIMULATION_SERVICE: "SAP_COM_0109",
    STOCK_SERVICE: "SAP_COM_0164",
    PRODUCT_SERVICE: "SAP_COM_0009",
}


@dataclass(frozen=True, slots=True)
class Resource:
    """An entity set of a service, or something below one."""

    service: str
    path: str

    def entity(self, key: str, below: str = "") -> Resource:
        """The entity of this key, or what it has *below*.

        >>> Resource("API_X", "A_X").entity("7", "to_Y").path
        "A_X('7')/to_Y"
        """
        return Resource(self.service, "/".join(filter(None, (odata.entity(self.path, key), below))))


PARTNERS = Resource(PARTNER_SERVICE, "A_BusinessPartner")
PARTNER_ADDRESSES = Resource(PARTNER_SERVICE, "A_BusinessPartnerAddress")
PARTNER_TAX_NUMBERS = Resource(PARTNER_SERVICE, "A_BusinessPartnerTaxNumber")
EMAIL_ADDRESSES = Resource(PARTNER_SERVICE, "A_AddressEmailAddress")
CUSTOMERS = Resource(PARTNER_SERVICE, "A_Customer")
COMPANY_CODES = Resource(PARTNER_SERVICE, "A_CustomerCompany")
SALES_AREAS = Resource(PARTNER_SERVICE, "A_CustomerSalesArea")
SALES_AREA_TAXES = Resource(PARTNER_SERVICE, "A_CustomerSalesAreaTax")
ORDERS = Resource(ORDER_SERVICE, "A_SalesOrder")
SIMULATED_ORDERS = Resource(SIMULATION_SERVICE, "A_SalesOrderSimulation")
STOCK = Resource(STOCK_SERVICE, "A_MatlStkInAcctMod")
PRODUCTS = Resource(PRODUCT_SERVICE, "A_Product")
