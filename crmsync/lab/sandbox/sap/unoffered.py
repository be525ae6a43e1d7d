"""What the vendor's services have and the stand-in does not: asked for it, it says so and does not play the vendor."""

import re

SETS: dict[str, set[str]] = {
    "API_BUSINESS_PARTNER": set(
        "A_AddressFaxNumber A_AddressHomePageURL A_BPContactToAddress A_BPContactToFuncAndDept A_BuPaIndustry"
        " A_BusinessPartnerBank A_BusinessPartnerContact A_CustomerDunning A_CustomerWithHoldingTax A_Supplier"
        " A_SupplierCompany A_SupplierDunning A_SupplierPartnerFunc A_SupplierPurchasingOrg"
        " A_SupplierWithHoldingTax".split()
    ),
    "API_SALES_ORDER_SRV": set(
        "A_SalesOrderItemPartner A_SalesOrderValAddedSrvc A_SlsOrdPaymentPlanItemDetails"
        " rejectApprovalRequest releaseApprovalRequest".split()
    ),
    "API_PRODUCT_SRV": set(
        "A_ProductBasicText A_ProductInspectionText A_ProductMLAccount A_ProductMLPrices A_ProductPlant"
        " A_ProductPlantCosting A_ProductPlantForecasting A_ProductPlantIntlTrd A_ProductPlantMRPArea"
        " A_ProductPlantProcurement A_ProductPlantQualityMgmt A_ProductPlantSales A_ProductPlantStorage"
        " A_ProductPlantText A_ProductProcurement A_ProductPurchaseText A_ProductQualityMgmt A_ProductSales"
        " A_ProductSalesDelivery A_ProductSalesTax A_ProductSalesText A_ProductStorage A_ProductStorageLocation"
        " A_ProductSupplyPlanning A_ProductUnitsOfMeasure A_ProductUnitsOfMeasureEAN A_ProductValuation"
        " A_ProductValuationAccount A_ProductValuationCosting A_ProductWorkScheduling".split()
    ),
}
NAVS: dict[str, set[str]] = {
    "A_BusinessPartner": set("to_BuPaIndustry to_BusinessPartnerBank to_BusinessPartnerContact to_Supplier".split()),
    "A_BusinessPartnerAddress": {"to_FaxNumber", "to_URLAddress"},
    "A_CustomerCompany": {"to_CustomerDunning", "to_WithHoldingTax"},
    "A_SalesOrder": {"to_PaymentPlanItemDetails"},
    "A_SalesOrderItem": {"to_Partner", "to_ValueAddedService"},
    "A_SalesOrderHeaderPrElement": {"to_SalesOrder"},
    "A_SalesOrderHeaderPartner": {"to_SalesOrder"},
    "A_SalesOrderText": {"to_SalesOrder"},
    "A_SalesOrderItemText": {"to_SalesOrder", "to_SalesOrderItem"},
    "A_Product": set(
        "to_Plant to_ProductBasicText to_ProductInspectionText to_ProductProcurement to_ProductPurchaseText"
        " to_ProductQualityMgmt to_ProductSales to_ProductSalesTax to_ProductStorage to_ProductUnitsOfMeasure"
        " to_SalesDelivery to_Valuation".split()
    ),
}
SERVICE = re.compile(r"API_[A-Z_0-9]+")  # how the vendor names its services, of which there are hundreds
FUNCTIONS = set(
    "indexof replace substring tolower toupper trim concat length day hour minute month second year round floor"
    " ceiling isof cast add sub mul div mod".split()
)
