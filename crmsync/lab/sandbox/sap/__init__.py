"""SAP S/4HANA's stand-in: OData V2 services for business partners, sales orders, products and stock."""
