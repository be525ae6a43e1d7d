"""The fields of API_BUSINESS_PARTNER that the stand-in knows.

One word per field: name, colon, type. `s10` text of at most 10 characters, `S10` upper-cased by the server, `n6` digits
shown without leading zeros, `d16.3` decimal (digits in all, digits after the point), `D` date, `O` instant, `T` time,
`b` boolean, `g` guid, `f` double. A leading `-` marks what the caller may not write.
Names, lengths and writability were read from the published metadata; tests/sandbox compares them with it.
"""

FIELDS = {
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

KEYS = {
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
