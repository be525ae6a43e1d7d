"""The fields of API_SALES_ORDER_SRV that the stand-in knows; notation as in `fields_partner`."""

FIELDS = {
    "A_SalesOrder": """
        SalesOrder:S10 SalesOrderType:S4 SalesOrganization:S4 DistributionChannel:S2 OrganizationDivision:S2
        SalesGroup:S3 SalesOffice:S4 SalesDistrict:S6 SoldToParty:S10 -CreationDate:D -CreatedByUser:S12
        -LastChangeDate:D -SenderBusinessSystemName:s60 -ExternalDocumentID:S40 -LastChangeDateTime:O
        PurchaseOrderByCustomer:s35 PurchaseOrderByShipToParty:s35 CustomerPurchaseOrderType:S4
        CustomerPurchaseOrderDate:D SalesOrderDate:D -TotalNetAmount:d16.3 TransactionCurrency:s5
        SDDocumentReason:S3 PricingDate:D RequestedDeliveryDate:D ShippingCondition:S2
        CompleteDeliveryIsDefined:b ShippingType:S2 HeaderBillingBlockReason:S2 DeliveryBlockReason:S2
        DeliveryDateTypeRule:S1 IncotermsClassification:S3 IncotermsTransferLocation:s28 IncotermsLocation1:s70
        IncotermsLocation2:s70 IncotermsVersion:S4 CustomerPriceGroup:S2 PriceListType:S2
        CustomerPaymentTerms:S4 PaymentMethod:S1 AssignmentReference:s18 ReferenceSDDocument:S10
        -ReferenceSDDocumentCategory:s4 AccountingDocExternalReference:S16 CustomerAccountAssignmentGroup:S2
        AccountingExchangeRate:d9.5 CustomerGroup:S2 AdditionalCustomerGroup1:S3 AdditionalCustomerGroup2:S3
        AdditionalCustomerGroup3:S3 AdditionalCustomerGroup4:S3 AdditionalCustomerGroup5:S3
        SlsDocIsRlvtForProofOfDeliv:b CustomerTaxClassification1:S1 CustomerTaxClassification2:S1
        CustomerTaxClassification3:S1 CustomerTaxClassification4:S1 CustomerTaxClassification5:S1
        CustomerTaxClassification6:S1 CustomerTaxClassification7:S1 CustomerTaxClassification8:S1
        CustomerTaxClassification9:S1 TaxDepartureCountry:S3 VATRegistrationCountry:S3
        -SalesOrderApprovalReason:S4 -SalesDocApprovalStatus:S1 -OverallSDProcessStatus:S1
        -TotalCreditCheckStatus:S1 -OverallTotalDeliveryStatus:S1 -OverallSDDocumentRejectionSts:S1
        FashionCancelDate:D RetailAdditionalCustomerGrp6:S3 RetailAdditionalCustomerGrp7:S3
        RetailAdditionalCustomerGrp8:S3 RetailAdditionalCustomerGrp9:S3 RetailAdditionalCustomerGrp10:S3
    """,
    "A_SalesOrderItem": """
        -SalesOrder:S10 SalesOrderItem:n6 HigherLevelItem:n6 SalesOrderItemCategory:S4 SalesOrderItemText:s40
        PurchaseOrderByCustomer:s35 PurchaseOrderByShipToParty:s35 Material:S40 MaterialByCustomer:S35
        PricingDate:D PricingReferenceMaterial:S40 RequestedQuantity:d15.3 RequestedQuantityUnit:s3
        RequestedQuantitySAPUnit:s3 RequestedQuantityISOUnit:S3 -ItemGrossWeight:d15.3 -ItemNetWeight:d15.3
        -ItemWeightUnit:s3 ItemWeightSAPUnit:s3 ItemWeightISOUnit:S3 -ItemVolume:d15.3 -ItemVolumeUnit:s3
        ItemVolumeSAPUnit:s3 ItemVolumeISOUnit:S3 -TransactionCurrency:s5 -NetAmount:d16.3 MaterialGroup:S9
        MaterialPricingGroup:S2 Batch:S10 ProductionPlant:S4 StorageLocation:S4 DeliveryGroup:n3
        ShippingPoint:S4 ShippingType:S2 DeliveryPriority:n2 DeliveryDateTypeRule:S1 IncotermsClassification:S3
        IncotermsTransferLocation:s28 IncotermsLocation1:s70 IncotermsLocation2:s70 ProductTaxClassification1:S1
        ProductTaxClassification2:S1 ProductTaxClassification3:S1 ProductTaxClassification4:S1
        ProductTaxClassification5:S1 ProductTaxClassification6:S1 ProductTaxClassification7:S1
        ProductTaxClassification8:S1 ProductTaxClassification9:S1 MatlAccountAssignmentGroup:S2
        CustomerPaymentTerms:S4 CustomerGroup:S2 SalesDocumentRjcnReason:S2 ItemBillingBlockReason:S2
        SlsDocIsRlvtForProofOfDeliv:b WBSElement:n24 ProfitCenter:S10 AccountingExchangeRate:d9.5
        ReferenceSDDocument:S10 ReferenceSDDocumentItem:n6 -SDProcessStatus:S1 -DeliveryStatus:S1
        -OrderRelatedBillingStatus:S1 ProductSeasonYear:S4 ProductSeason:S10 ProductCollection:S10
        ProductTheme:S10 -SeasonCompletenessStatus:S1 FashionCancelDate:D -ProductCharacteristic1:s18
        -ProductCharacteristic2:s18 -ProductCharacteristic3:s18 -ShippingGroupNumber:S10 -ShippingGroupRule:S4
        -CrossPlantConfigurableProduct:S40 -ProductCategory:S2 RequirementSegment:S40
    """,
    "A_SalesOrderItemPrElement": """
        -SalesOrder:S10 -SalesOrderItem:n6 PricingProcedureStep:n3 PricingProcedureCounter:n3 ConditionType:S4
        -PricingDateTime:S14 -ConditionCalculationType:S3 -ConditionBaseValue:d24.9 ConditionRateValue:d24.9
        ConditionCurrency:s5 ConditionQuantity:d5.0 ConditionQuantityUnit:s3 ConditionQuantitySAPUnit:s3
        ConditionQuantityISOUnit:S3 -ConditionCategory:s1 -ConditionIsForStatistics:b -PricingScaleType:S1
        -IsRelevantForAccrual:b -CndnIsRelevantForInvoiceList:S1 -ConditionOrigin:S1 -IsGroupCondition:S1
        -ConditionRecord:S10 -ConditionSequentialNumber:n3 -TaxCode:S2 -WithholdingTaxCode:S2
        -CndnRoundingOffDiffAmount:d6.3 -ConditionAmount:d16.3 TransactionCurrency:s5 -ConditionControl:S1
        -ConditionInactiveReason:S1 -ConditionClass:S1 -PrcgProcedureCounterForHeader:n3
        -FactorForConditionBasisValue:f -StructureCondition:S1 -PeriodFactorForCndnBasisValue:f
        -PricingScaleBasis:S3 -ConditionScaleBasisValue:d24.9 -ConditionScaleBasisUnit:s3
        -ConditionScaleBasisCurrency:s5 -CndnIsRelevantForIntcoBilling:b -ConditionIsManuallyChanged:b
        -ConditionIsForConfiguration:b -VariantCondition:s26
    """,
    "A_SalesOrderHeaderPrElement": """
        -SalesOrder:S10 PricingProcedureStep:n3 PricingProcedureCounter:n3 ConditionType:S4 -PricingDateTime:S14
        -ConditionCalculationType:S3 -ConditionBaseValue:d24.9 ConditionRateValue:d24.9 ConditionCurrency:s5
        ConditionQuantity:d5.0 ConditionQuantityUnit:s3 ConditionQuantitySAPUnit:s3 ConditionQuantityISOUnit:S3
        -ConditionCategory:s1 -ConditionIsForStatistics:b -PricingScaleType:S1 -ConditionOrigin:S1
        -IsGroupCondition:S1 -ConditionRecord:S10 -ConditionSequentialNumber:n3 -TaxCode:S2
        -WithholdingTaxCode:S2 -CndnRoundingOffDiffAmount:d6.3 -ConditionAmount:d16.3 TransactionCurrency:s5
        -ConditionControl:S1 -ConditionInactiveReason:S1 -ConditionClass:S1 -PrcgProcedureCounterForHeader:n3
        -FactorForConditionBasisValue:f -StructureCondition:S1 -PeriodFactorForCndnBasisValue:f
        -PricingScaleBasis:S3 -ConditionScaleBasisValue:d24.9 -ConditionScaleBasisUnit:s3
        -ConditionScaleBasisCurrency:s5 -CndnIsRelevantForIntcoBilling:b -ConditionIsManuallyChanged:b
        -ConditionIsForConfiguration:b -VariantCondition:s26
    """,
    "A_SalesOrderHeaderPartner": """
        -SalesOrder:S10 PartnerFunction:S2 Customer:S10 Supplier:S10 Personnel:n8 ContactPerson:n10
    """,
    "A_SalesOrderText": """
        -SalesOrder:S10 Language:s2 LongTextID:S4 LongText:s
    """,
    "A_SalesOrderItemText": """
        -SalesOrder:S10 -SalesOrderItem:n6 Language:s2 LongTextID:S4 LongText:s
    """,
    "A_SalesOrderScheduleLine": """
        -SalesOrder:S10 -SalesOrderItem:n6 ScheduleLine:n4 RequestedDeliveryDate:D ConfirmedDeliveryDate:D
        OrderQuantityUnit:s3 OrderQuantitySAPUnit:s3 OrderQuantityISOUnit:S3 ScheduleLineOrderQuantity:d13.3
        ConfdOrderQtyByMatlAvailCheck:d13.3 DeliveredQtyInOrderQtyUnit:d13.3 OpenConfdDelivQtyInOrdQtyUnit:d13.3
        CorrectedQtyInOrderQtyUnit:d13.3 DelivBlockReasonForSchedLine:S2
    """,
}

KEYS = {
    "A_SalesOrder": "SalesOrder",
    "A_SalesOrderItem": "SalesOrder SalesOrderItem",
    "A_SalesOrderItemPrElement": "SalesOrder SalesOrderItem PricingProcedureStep PricingProcedureCounter",
    "A_SalesOrderHeaderPrElement": "SalesOrder PricingProcedureStep PricingProcedureCounter",
    "A_SalesOrderHeaderPartner": "SalesOrder PartnerFunction",
    "A_SalesOrderText": "SalesOrder Language LongTextID",
    "A_SalesOrderItemText": "SalesOrder SalesOrderItem Language LongTextID",
    "A_SalesOrderScheduleLine": "SalesOrder SalesOrderItem ScheduleLine",
}
