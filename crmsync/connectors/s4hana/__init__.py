"""SAP S/4HANA: the ERP, through its OData V2 services for business partners, sales orders, products and stock.

Vendor facts              value                                   source                                      checked
    write idempotency     none: orders are found by reference     SAP KBA 3503297                             2026-11-20
    order reference       PurchaseOrderByCustomer, 35, case kept  $metadata API_SALES_ORDER_SRV               2026-11-20
    customer reference    BusinessPartnerIDByExtSystem, 20, upper $metadata API_BUSINESS_PARTNER              2026-11-20
    stale CSRF token      403 with x-csrf-token: Required         SAP KBA 3048103                             2026-11-20
    price                 only as a pricing element of the item   $metadata API_SALES_ORDER_SRV               2026-11-20
    condition quantity    Decimal(5,0)                            $metadata API_SALES_ORDER_SRV               2026-11-20
    condition rate        no more decimals than its currency has: KBA 3450476                                 2026-11-30
                          else 00/088, though the field has 9
    computed totals       may lack in the answer to a create      scribd.com/document/854936119               2026-11-20
    remarks on a success  header sap-message                      SAP help, Gateway 2.0 SP12                  2026-11-20
    incomplete orders     SLS_LORD/009 and V1/555, as warnings    recorded headers; answers of BAPIs          2026-11-29
    approval of an order  A awaited, B given, C refused           public CDS views of I_SalesOrder            2026-11-29
    roles of a customer   FLCU00 finance, FLCU01 sales            ilia-inovaflow/s4hana-create-record-skills  2026-11-20
    throttle              429 + Retry-After; no official figure   easihub.com, thread 6750                    2026-11-20
    locks                 400 with a code: MC/601, V2/468,        SAP KBA 3645227 and public clients          2026-11-28
                          VL/045; a tenant's own: SAP_LOCK_CODES
    CSRF token elsewhere  some gateways give it at $metadata only SAP/cloud-sdk-js#2430                       2026-11-28
    token lifetime        3600 seconds, configurable              from memory; expires_in decides             2026-11-20
    stock                 SAP_COM_0164, read-only                 OpenAPI API_MATERIAL_STOCK_SRV 1.1.0        2026-11-20
    quantities of stock   Decimal(31,14); key of eleven fields    OpenAPI API_MATERIAL_STOCK_SRV 1.1.0        2026-11-20
    A_MatlStkInAcctMod    read directly; OpenAPI has no path      public clients of the service; unverified   2026-11-20
    types of stock        01 unrestricted; blank special stock    from memory: SAP_STOCK_TYPES decides        2026-11-20
    products              SAP_COM_0009                            docs.stackone.com, SAP S/4HANA              2026-11-20
    length of a product   40, upper case                          $metadata API_PRODUCT_SRV                   2026-11-20
    numeric products      stored with zeros up to 18 digits       from memory; both forms are asked for       2026-11-20
    page size             by service; often no paging at all      from memory; both are handled               2026-11-20
"""

from __future__ import annotations

from crmsync.connectors.kit.late import late
from crmsync.connectors.s4hana.settings import SapSettings
from crmsync.connectors.system import System

__all__ = ["SYSTEM"]


SYSTEM = System(
    name="s4hana",
    title="SAP S/4HANA",
    roles=("orders", "stock"),
    guide="docs/setup/s4hana.md",
    auth_kinds=("oauth2", "basic"),
    auth_setting="auth",
    settings=SapSettings,
    variable="SAP_BASE_URL",
    mentioned_by=("SAP_BASE_URL", "SAP_CLIENT_ID", "SAP_USER"),
    prefixes=("SAP_",),
    config_name="sap",
    other_prefixes=("S4HANA_", "S4_"),
    connect=late("crmsync.connectors.s4hana.client:connect"),
    quota=late("crmsync.connectors.s4hana.quota:quota"),
    claim=late("crmsync.connectors.s4hana.account:claim"),
)
