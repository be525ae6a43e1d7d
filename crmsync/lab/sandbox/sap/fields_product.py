"""The fields of API_PRODUCT_SRV and API_MATERIAL_STOCK_SRV that the stand-in knows; notation as in `fields_partner`."""

FIELDS = {
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

KEYS = {
    "A_Product": "Product",
    "A_ProductDescription": "Product Language",
    "A_MaterialStock": "Material",
    "A_MatlStkInAcctMod": "Material Plant StorageLocation Batch Supplier Customer WBSElementInternalID SDDocument "
    "SDDocumentItem InventorySpecialStockType InventoryStockType",
}
