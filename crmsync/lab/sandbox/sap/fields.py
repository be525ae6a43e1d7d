"""The fields and keys of each entity of S/4HANA, and what the services have beside them."""

import re

# The fields of API_BUSINESS_PARTNER that the stand-in knows.
#
# One word per field: name, colon, type. `s10` text of at most 10 characters, `S10` upper-cased by the server, `n6`
# digits shown without leading zeros, `d16.3` decimal (digits in all, digits after the point), `D` date, `O` instant,
# `T` time, `b` boolean, `g` guid, `f` double. A leading `-` marks what the caller may not write. Names, lengths and
# writability were read from the published metadata; tests/sandbox compares them with it.


PARTNER_FIELDS = {
    "A_BusinessPartner": """
        BusinessPartner:S10 -Customer:S10 -Supplier:S10 AcademicTitle:S4 AuthorizationGroup:S4
        BusinessPartnerCategory:S1 -BusinessPartnerFullName:s81 BusinessPartnerGrouping:S4
        -BusinessPartnerName:s81 -BusinessPartnerUUID:g CorrespondenceLanguage:s2 -CreatedByUser:S12
        -CreationDate:D -CreationTime:T FirstName:s40 FormOfAddress:S4 Industry:S10
        InternationalLocationNumber1:n7 InternationalLocationNumber2:n5 IsFemale:b IsMale:b IsNaturalPerson:S1
        IsSexUnknown:b GenderCodeName:S1 Language:s2 -LastChangeDate:D -LastChangeTime:T -LastChangedByUser:S12
        LastName:s40 LegalForm:S2 OrganizationBPName1:s40 OrganizationBPName2:s40 OrganizationBPName3:s40
        OrganizationBPName4:s40 OrganizationFoundationDate:D OrganizationLiquidationDate:D SearchTerm1:S20
        SearchTerm2:S20 AdditionalLastName:s40 BirthDate:D BusinessPartnerBirthplaceName:s40
        BusinessPartnerIsBlocked:b BusinessPartnerType:S4 -ETag:s26 GroupBusinessPartnerName1:s40
        GroupBusinessPartnerName2:s40 -IndependentAddressID:S10 InternationalLocationNumber3:n1 MiddleName:s40
        NameCountry:S3 NameFormat:S2 PersonFullName:s80 -PersonNumber:S10 IsMarkedForArchiving:b
        BusinessPartnerIDByExtSystem:S20 TradingPartner:S6
    """,
    "A_BusinessPartnerAddress": """
        BusinessPartner:S10 AddressID:S10 ValidityStartDate:O ValidityEndDate:O AuthorizationGroup:S4
        -AddressUUID:g AdditionalStreetPrefixName:s40 AdditionalStreetSuffixName:s40 AddressTimeZone:S6
        CareOfName:s40 CityCode:S12 CityName:s40 CompanyPostalCode:S10 Country:S3 County:s40
        DeliveryServiceNumber:S10 DeliveryServiceTypeCode:S4 District:s40 -FormOfAddress:S4 -FullName:s80
        HomeCityName:s40 HouseNumber:s10 HouseNumberSupplementText:s10 Language:s2 POBox:S10
        POBoxDeviatingCityName:s40 POBoxDeviatingCountry:S3 POBoxDeviatingRegion:S3 POBoxIsWithoutNumber:b
        POBoxLobbyName:s40 POBoxPostalCode:S10 -Person:S10 PostalCode:S10 PrfrdCommMediumType:S3 Region:S3
        StreetName:s60 StreetPrefixName:s40 StreetSuffixName:s40 TaxJurisdiction:S15 TransportZone:S10
        AddressIDByExternalSystem:S20
    """,
    "A_AddressEmailAddress": """
        AddressID:S10 Person:S10 OrdinalNumber:n3 IsDefaultEmailAddress:b EmailAddress:s241
        SearchEmailAddress:S20 AddressCommunicationRemarkText:s50
    """,
    "A_AddressPhoneNumber": """
        AddressID:S10 Person:S10 OrdinalNumber:n3 DestinationLocationCountry:S3 IsDefaultPhoneNumber:b
        PhoneNumber:S30 PhoneNumberExtension:S10 InternationalPhoneNumber:S30 PhoneNumberType:S1
        AddressCommunicationRemarkText:s50
    """,
    "A_BuPaAddressUsage": """
        BusinessPartner:S10 ValidityEndDate:O AddressUsage:S10 AddressID:S10 ValidityStartDate:O StandardUsage:b
        AuthorizationGroup:S4
    """,
    "A_BusinessPartnerRole": """
        BusinessPartner:S10 BusinessPartnerRole:S6 ValidFrom:O ValidTo:O AuthorizationGroup:S4
    """,
    "A_BuPaIdentification": """
        BusinessPartner:S10 BPIdentificationType:S6 BPIdentificationNumber:S60 BPIdnNmbrIssuingInstitute:s40
        BPIdentificationEntryDate:D Country:S3 Region:S3 ValidityStartDate:D ValidityEndDate:D
        AuthorizationGroup:S4
    """,
    "A_BusinessPartnerTaxNumber": """
        BusinessPartner:S10 BPTaxType:S4 BPTaxNumber:S20 BPTaxLongNumber:S60 AuthorizationGroup:S4
    """,
    "A_Customer": """
        Customer:S10 AuthorizationGroup:S4 BillingIsBlockedForCustomer:S2 -CreatedByUser:S12 -CreationDate:D
        CustomerAccountGroup:S4 CustomerClassification:S2 -CustomerFullName:S220 -CustomerName:s80
        DeliveryIsBlocked:S2 NFPartnerIsNaturalPerson:S1 OrderIsBlockedForCustomer:S2 PostingIsBlocked:b
        Supplier:S10 CustomerCorporateGroup:S10 FiscalAddress:S10 -Industry:S4 -IndustryCode1:S10
        -IndustryCode2:S10 -IndustryCode3:S10 -IndustryCode4:S10 -IndustryCode5:S10
        InternationalLocationNumber1:n7 NielsenRegion:S2 ResponsibleType:S2 -TaxNumber1:S16 -TaxNumber2:S11
        -TaxNumber3:S18 -TaxNumber4:S18 -TaxNumber5:S60 TaxNumberType:S2 VATRegistration:S20 DeletionIndicator:b
    """,
    "A_CustomerCompany": """
        Customer:S10 CompanyCode:S4 APARToleranceGroup:S4 AccountByCustomer:S12 AccountingClerk:S2
        AccountingClerkFaxNumber:s31 AccountingClerkInternetAddress:s130 AccountingClerkPhoneNumber:S30
        AlternativePayerAccount:S10 AuthorizationGroup:S4 CollectiveInvoiceVariant:S1 CustomerAccountNote:s30
        CustomerHeadOffice:S10 CustomerSupplierClearingIsUsed:b HouseBank:S5 InterestCalculationCode:S2
        InterestCalculationDate:D IsToBeLocallyProcessed:b ItemIsToBePaidSeparately:b LayoutSortingRule:S3
        PaymentBlockingReason:S1 PaymentMethodsList:S10 PaymentTerms:S4 PaytAdviceIsSentbyEDI:b
        PhysicalInventoryBlockInd:b ReconciliationAccount:S10 RecordPaymentHistoryIndicator:b UserAtCustomer:s15
        DeletionIndicator:b CashPlanningGroup:S10 KnownOrNegotiatedLeave:S4 ValueAdjustmentKey:S2
        CustomerAccountGroup:S4
    """,
    "A_CustomerSalesArea": """
        Customer:S10 SalesOrganization:S4 DistributionChannel:S2 Division:S2 AccountByCustomer:S12
        AuthorizationGroup:S4 BillingIsBlockedForCustomer:S2 CompleteDeliveryIsDefined:b Currency:s5
        CustomerABCClassification:S2 CustomerAccountAssignmentGroup:S2 CustomerGroup:S2 CustomerPaymentTerms:S4
        CustomerPriceGroup:S2 CustomerPricingProcedure:S2 DeliveryIsBlockedForCustomer:S2 DeliveryPriority:n2
        IncotermsClassification:S3 IncotermsLocation2:s70 IncotermsVersion:S4 IncotermsLocation1:s70
        DeletionIndicator:b IncotermsTransferLocation:s28 InvoiceDate:S2 ItemOrderProbabilityInPercent:n3
        OrderCombinationIsAllowed:b OrderIsBlockedForCustomer:S2 PartialDeliveryIsAllowed:S1 PriceListType:S2
        SalesGroup:S3 SalesOffice:S4 ShippingCondition:S2 SupplyingPlant:S4 SalesDistrict:S6
        InvoiceListSchedule:S2 ExchangeRateType:S4 AdditionalCustomerGroup1:S3 AdditionalCustomerGroup2:S3
        AdditionalCustomerGroup3:S3 AdditionalCustomerGroup4:S3 AdditionalCustomerGroup5:S3
        PaymentGuaranteeProcedure:S4 CustomerAccountGroup:S4
    """,
    "A_CustomerSalesAreaTax": """
        Customer:S10 SalesOrganization:S4 DistributionChannel:S2 Division:S2 DepartureCountry:S3
        CustomerTaxCategory:S4 CustomerTaxClassification:S1
    """,
    "A_CustSalesPartnerFunc": """
        Customer:S10 SalesOrganization:S4 DistributionChannel:S2 Division:S2 PartnerCounter:n3
        PartnerFunction:S2 BPCustomerNumber:S10 CustomerPartnerDescription:s30 DefaultPartner:b
        AuthorizationGroup:S4
    """,
}

PARTNER_KEYS = {
    "A_BusinessPartner": "BusinessPartner",
    "A_BusinessPartnerAddress": "BusinessPartner AddressID",
    "A_AddressEmailAddress": "AddressID Person OrdinalNumber",
    "A_AddressPhoneNumber": "AddressID Person OrdinalNumber",
    "A_BuPaAddressUsage": "BusinessPartner ValidityEndDate AddressUsage AddressID",
    "A_BusinessPartnerRole": "BusinessPartner BusinessPartnerRole",
    "A_BuPaIdentification": "BusinessPartner BPIdentificationType BPIdentificationNumber",
    "A_BusinessPartnerTaxNumber": "BusinessPartner BPTaxType",
    "A_Customer": "Customer",
    "A_CustomerCompany": "Customer CompanyCode",
    "A_CustomerSalesArea": "Customer SalesOrganization DistributionChannel Division",
    "A_CustomerSalesAreaTax": "Customer SalesOrganization DistributionChannel Division DepartureCountry "
    "CustomerTaxCategory",
    "A_CustSalesPartnerFunc": "Customer SalesOrganization DistributionChannel Division PartnerCounter PartnerFunction",
}


# The fields of API_SALES_ORDER_SRV that the stand-in knows; the notation is the same.


ORDER_FIELDS = {
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

ORDER_KEYS = {
    "A_SalesOrder": "SalesOrder",
    "A_SalesOrderItem": "SalesOrder SalesOrderItem",
    "A_SalesOrderItemPrElement": "SalesOrder SalesOrderItem PricingProcedureStep PricingProcedureCounter",
    "A_SalesOrderHeaderPrElement": "SalesOrder PricingProcedureStep PricingProcedureCounter",
    "A_SalesOrderHeaderPartner": "SalesOrder PartnerFunction",
    "A_SalesOrderText": "SalesOrder Language LongTextID",
    "A_SalesOrderItemText": "SalesOrder SalesOrderItem Language LongTextID",
    "A_SalesOrderScheduleLine": "SalesOrder SalesOrderItem ScheduleLine",
}


# The fields of API_PRODUCT_SRV and API_MATERIAL_STOCK_SRV that the stand-in knows; the notation is the same.


PRODUCT_FIELDS = {
    "A_Product": """
        Product:S40 ProductType:S4 CrossPlantStatus:S2 CrossPlantStatusValidityDate:D -CreationDate:D
        -CreatedByUser:S12 -LastChangeDate:D -LastChangedByUser:S12 -LastChangeDateTime:O IsMarkedForDeletion:b
        ProductOldID:S40 GrossWeight:d13.3 PurchaseOrderQuantityUnit:s3 SourceOfSupply:S1 WeightUnit:s3
        NetWeight:d13.3 CountryOfOrigin:S3 CompetitorID:S10 ProductGroup:S9 BaseUnit:s3 ItemCategoryGroup:S4
        ProductHierarchy:S18 Division:S2 VarblPurOrdUnitIsActive:S1 VolumeUnit:s3 MaterialVolume:d13.3
        ANPCode:n9 Brand:S4 ProcurementRule:S1 ValidityStartDate:D LowLevelCode:S3
        ProdNoInGenProdInPrepackProd:S40 SerialIdentifierAssgmtProfile:S4 SizeOrDimensionText:S32
        IndustryStandardName:S18 ProductStandardID:S18 InternationalArticleNumberCat:S2 ProductIsConfigurable:b
        IsBatchManagementRequired:b ExternalProductGroup:S18 CrossPlantConfigurableProduct:S40
        SerialNoExplicitnessLevel:S1 ProductManufacturerNumber:S40 ManufacturerNumber:S10
        ManufacturerPartProfile:S4 QltyMgmtInProcmtIsActive:b IndustrySector:S1 ChangeNumber:S12
        MaterialRevisionLevel:S2 HandlingIndicator:S4 WarehouseProductGroup:S4 WarehouseStorageCondition:S2
        StandardHandlingUnitType:S4 SerialNumberProfile:S4 AdjustmentProfile:S3 PreferredUnitOfMeasure:s3
        IsPilferable:b IsRelevantForHzdsSubstances:b QuarantinePeriod:d3.0 TimeUnitForQuarantinePeriod:s3
        QualityInspectionGroup:S4 AuthorizationGroup:S4 HandlingUnitType:S4 HasVariableTareWeight:b
        MaximumPackagingLength:d15.3 MaximumPackagingWidth:d15.3 MaximumPackagingHeight:d15.3
        UnitForMaxPackagingDimensions:s3
    """,
    "A_ProductDescription": """
        Product:S40 Language:s2 ProductDescription:s40
    """,
    "A_MaterialStock": """
        -Material:S40 -MaterialBaseUnit:s3
    """,
    "A_MatlStkInAcctMod": """
        -Material:S40 -Plant:S4 -StorageLocation:S4 -Batch:S10 -Supplier:S10 -Customer:S10
        -WBSElementInternalID:n24 -SDDocument:S10 -SDDocumentItem:n6 -InventorySpecialStockType:S1
        -InventoryStockType:S2 -WBSElementExternalID:s24 -MaterialBaseUnit:s3
        -MatlWrhsStkQtyInMatlBaseUnit:d31.14
    """,
}

PRODUCT_KEYS = {
    "A_Product": "Product",
    "A_ProductDescription": "Product Language",
    "A_MaterialStock": "Material",
    "A_MatlStkInAcctMod": "Material Plant StorageLocation Batch Supplier Customer WBSElementInternalID SDDocument "
    "SDDocumentItem InventorySpecialStockType InventoryStockType",
}


# The fields of API_SALES_ORDER_SIMULATION_SRV, by the vendor's OpenAPI file; the notation is the same.


SIMULATION_FIELDS = {
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


# What the vendor's services have and the stand-in does not: asked for it, it says so and does not play the vendor.


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
