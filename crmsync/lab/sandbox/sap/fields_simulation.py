"""The fields of API_SALES_ORDER_SIMULATION_SRV, by the vendor's OpenAPI file; notation as in `fields_partner`."""

FIELDS = {
    "A_SalesOrderSimulation": """
        SalesOrder:s10 SalesOrderType:S4 SalesOrganization:S4 DistributionChannel:s2 OrganizationDivision:s2
        SalesGroup:s3 SalesOffice:s4 SalesDistrict:s6 SoldToParty:S10 CustomerGroup:s2 AdditionalCustomerGroup1:s3
        AdditionalCustomerGroup2:s3 AdditionalCustomerGroup3:s3 AdditionalCustomerGroup4:s3
        AdditionalCustomerGroup5:s3 PurchaseOrderByCustomer:s35 CustomerPurchaseOrderType:s4
        CustomerPurchaseOrderDate:D SalesOrderDate:D TransactionCurrency:s5 AccountingDocExternalReference:s16
        CustomerTaxClassification1:s1 CustomerTaxClassification2:s1 CustomerTaxClassification3:s1
        CustomerTaxClassification4:s1 CustomerTaxClassification5:s1 CustomerTaxClassification6:s1
        CustomerTaxClassification7:s1 CustomerTaxClassification8:s1 CustomerTaxClassification9:s1
        TaxDepartureCountry:s3 VATRegistrationCountry:s3 PriceListType:s2 CustomerPriceGroup:s2
        SDDocumentReason:s3 PricingDate:D -SDPricingProcedure:s6 RequestedDeliveryDate:D ShippingCondition:s2
        CompleteDeliveryIsDefined:b ShippingType:s2 IncotermsClassification:s3 IncotermsTransferLocation:s28
        IncotermsLocation1:s70 IncotermsLocation2:s70 IncotermsVersion:s4 ReferenceSDDocument:s10
        CustomerPaymentTerms:s4 PaymentMethod:s1
    """,
    "A_SalesOrderItemSimulation": """
        -SalesOrder:s10 SalesOrderItem:n6 HigherLevelItem:n6 -HigherLevelItemUsage:s1 SalesOrderItemCategory:s4
        SalesOrderItemText:s40 PurchaseOrderByCustomer:s35 Material:S40 MaterialByCustomer:s35 PricingDate:D
        PricingReferenceMaterial:s40 RequestedQuantity:d15.3 RequestedQuantityUnit:s3 RequestedQuantitySAPUnit:s3
        RequestedQuantityISOUnit:s3 -OrderQuantityUnit:s3 -OrderQuantitySAPUnit:s3 -OrderQuantityISOUnit:s3
        -ConfdDelivQtyInOrderQtyUnit:d15.3 -ItemGrossWeight:d15.3 -ItemNetWeight:d15.3 -ItemWeightUnit:s3
        -ItemWeightSAPUnit:s3 -ItemWeightISOUnit:s3 -ItemVolume:d15.3 -ItemVolumeUnit:s3 -ItemVolumeSAPUnit:s3
        -ItemVolumeISOUnit:s3 -TransactionCurrency:s5 -NetAmount:d16.3 -TaxAmount:d14.3 -CostAmount:d14.3
        -Subtotal1Amount:d14.3 -Subtotal2Amount:d14.3 -Subtotal3Amount:d14.3 -Subtotal4Amount:d14.3
        -Subtotal5Amount:d14.3 -Subtotal6Amount:d14.3 -MaterialSubstitutionReason:s4 MaterialGroup:s9
        MaterialPricingGroup:s2 Batch:s10 Plant:s4 StorageLocation:s4 DeliveryGroup:s3 ShippingPoint:s4
        ShippingType:s2 DeliveryPriority:s2 IncotermsClassification:s3 IncotermsTransferLocation:s28
        IncotermsLocation1:s70 IncotermsLocation2:s70 ProductTaxClassification1:s1 ProductTaxClassification2:s1
        ProductTaxClassification3:s1 ProductTaxClassification4:s1 ProductTaxClassification5:s1
        ProductTaxClassification6:s1 ProductTaxClassification7:s1 ProductTaxClassification8:s1
        ProductTaxClassification9:s1 ReferenceSDDocument:s10 ReferenceSDDocumentItem:s6 CustomerPaymentTerms:s4
        SalesDocumentRjcnReason:s2
    """,
    "A_SalesOrderItmPrcgElmntSimln": """
        -SalesOrder:s10 -SalesOrderItem:n6 PricingProcedureStep:n3 PricingProcedureCounter:n3 ConditionType:S4
        -PriceConditionDeterminationDte:D -ConditionCalculationType:s3 -ConditionBaseValue:d24.9
        ConditionRateValue:d24.9 ConditionCurrency:s5 ConditionQuantity:d5.0 ConditionQuantityUnit:s3
        ConditionQuantitySAPUnit:s3 ConditionQuantityISOUnit:s3 -ConditionIsForStatistics:b -ConditionOrigin:s1
        -IsGroupCondition:s1 -ConditionAmount:d16.3 TransactionCurrency:s5 -ConditionInactiveReason:s1
        -ConditionClass:s1 -PricingScaleBasis:s3 -ConditionScaleBasisValue:d24.9 -ConditionIsManuallyChanged:b
    """,
    "A_SalesOrderPrcgElmntSimln": """
        -SalesOrder:s10 PricingProcedureStep:n3 PricingProcedureCounter:n3 ConditionType:S4
        -PriceConditionDeterminationDte:D -ConditionCalculationType:s3 -ConditionBaseValue:d24.9
        ConditionRateValue:d24.9 ConditionCurrency:s5 ConditionQuantity:d5.0 ConditionQuantityUnit:s3
        ConditionQuantitySAPUnit:s3 ConditionQuantityISOUnit:s3 -ConditionIsForStatistics:b -ConditionOrigin:s1
        -IsGroupCondition:s1 -ConditionAmount:d16.3 TransactionCurrency:s5 -ConditionInactiveReason:s1
        -ConditionClass:s1 -PricingScaleBasis:s3 -ConditionScaleBasisValue:d24.9 -ConditionIsManuallyChanged:b
    """,
    "A_SalesOrderPricingSimulation": """
        -SalesOrder:s10 TotalNetAmount:d16.3 -TransactionCurrency:s5
    """,
    "A_SalesOrderCreditSimulation": """
        -SalesOrder:s10 TotalCreditCheckStatus:s1
    """,
    "A_SalesOrderPartnerSimulation": """
        -SalesOrder:s10 PartnerFunction:s2 Customer:s10 Supplier:s10 Personnel:s8 ContactPerson:s10
        VATRegistration:s20
    """,
    "A_SalesOrderItemPartnerSimln": """
        -SalesOrder:s10 -SalesOrderItem:n6 PartnerFunction:s2 Customer:s10 Supplier:s10 Personnel:s8
        ContactPerson:s10 VATRegistration:s20
    """,
    "A_SalesOrderScheduleLineSimln": """
        -SalesOrder:s10 -SalesOrderItem:n6 ScheduleLine:n4 RequestedDeliveryDate:D ConfirmedDeliveryDate:D
        OrderQuantityUnit:s3 OrderQuantitySAPUnit:s3 OrderQuantityISOUnit:s3 ScheduleLineOrderQuantity:d13.3
        ConfdOrderQtyByMatlAvailCheck:d13.3 OpenConfdDelivQtyInOrdQtyUnit:d13.3 CorrectedQtyInOrderQtyUnit:d13.3
    """,
}
