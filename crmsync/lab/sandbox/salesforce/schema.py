"""The org's objects: which fields they have and what may be written to them.

One word per field, name:type, then marks: `!` required on create, `-` not writable, `c` only settable on create, `u`
unique external id. Types: `s80` text of 80 characters, `t` long text, `e` e-mail, `n` number, `m` money, `b` boolean,
`d` date, `z` instant, `r(Object)` reference. A reference `XId` opens the relationship `X`, `X__c` opens `X__r`.
"""

import re
from dataclasses import dataclass, field

SYSTEM = """Id:s18- IsDeleted:b- CreatedDate:z- CreatedById:r(User)- LastModifiedDate:z- LastModifiedById:r(User)-
    SystemModstamp:z-"""
OWNED = "OwnerId:r(User)"
OBJECTS = {
    "Account": f"""
        Name:s255! AccountNumber:s40 Type:s40 Industry:s40 Phone:s40 Website:s255 Description:t ParentId:r(Account)
        BillingStreet:s255 BillingCity:s40 BillingState:s80 BillingPostalCode:s20 BillingCountry:s80
        ShippingStreet:s255 ShippingCity:s40 ShippingState:s80 ShippingPostalCode:s20 ShippingCountry:s80
        Tax_Number__c:s20 External_Id__c:s40u {OWNED}
    """,
    "Contact": f"""
        LastName:s80! FirstName:s40 Name:s121- Salutation:s40 Title:s128 AccountId:r(Account) Email:e Phone:s40
        MobilePhone:s40 MailingStreet:s255 MailingCity:s40 MailingState:s80 MailingPostalCode:s20 MailingCountry:s80
        Description:t External_Id__c:s40u {OWNED}
    """,
    "Opportunity": f"""
        Name:s120! StageName:s255! CloseDate:d! AccountId:r(Account) ContactId:r(Contact)c Amount:m Probability:n
        Type:s255 LeadSource:s255 NextStep:s255 Description:t Pricebook2Id:r(Pricebook2) IsClosed:b- IsWon:b-
        HasOpportunityLineItem:b- ForecastCategoryName:s255 SAP_Order_Number__c:s20 Zoho_Invoice_Number__c:s40
        Sync_Status__c:s255 Sync_Status_Reason__c:s255 LastStageChangeDate:z- Payment_Received__c:b
        Payment_Amount__c:m Payment_Date__c:d PO_Number__c:s35 External_Id__c:s40u {OWNED}
    """,
    "OpportunityLineItem": """
        OpportunityId:r(Opportunity)!c PricebookEntryId:r(PricebookEntry)c Product2Id:r(Product2)- ProductCode:s255-
        Name:s376- Quantity:n! UnitPrice:m TotalPrice:m ListPrice:m- Subtotal:m- Discount:n Description:s255
        ServiceDate:d SortOrder:n-
    """,
    "OpportunityContactRole": "OpportunityId:r(Opportunity)!c ContactId:r(Contact)!c Role:s40 IsPrimary:b",
    "Product2": """
        Name:s255! ProductCode:s255 Description:t Family:s255 IsActive:b StockKeepingUnit:s180
        QuantityUnitOfMeasure:s255 Available_Stock__c:n Low_Stock_Alert__c:b External_Id__c:s40u
    """,
    "Pricebook2": "Name:s255! IsActive:b IsStandard:b- Description:s255",
    "PricebookEntry": """
        Pricebook2Id:r(Pricebook2)!c Product2Id:r(Product2)!c UnitPrice:m! IsActive:b UseStandardPrice:b
        ProductCode:s255- Name:s255-
    """,
    "User": "Name:s121- Username:s80- Email:e- IsActive:b-",
    "Organization": "Name:s80- OrganizationType:s40- IsSandbox:b- InstanceName:s40- DefaultCurrencyIsoCode:s3-",
    "CurrencyType": "IsoCode:s3- IsCorporate:b- IsActive:b- DecimalPlaces:n- ConversionRate:n-",
}
PREFIXES = {
    "Account": "001",
    "Contact": "003",
    "Opportunity": "006",
    "OpportunityLineItem": "00k",
    "OpportunityContactRole": "00K",
    "Product2": "01t",
    "Pricebook2": "01s",
    "PricebookEntry": "01u",
    "User": "005",
    "Organization": "00D",
    "CurrencyType": "01L",
}
CHILDREN = {
    "Account": {"Contacts": ("Contact", "AccountId"), "Opportunities": ("Opportunity", "AccountId")},
    "Contact": {"OpportunityContactRoles": ("OpportunityContactRole", "ContactId")},
    "Opportunity": {
        "OpportunityLineItems": ("OpportunityLineItem", "OpportunityId"),
        "OpportunityContactRoles": ("OpportunityContactRole", "OpportunityId"),
    },
    "Product2": {"PricebookEntries": ("PricebookEntry", "Product2Id")},
}
WITH_CURRENCY = ("Account", "Contact", "Opportunity", "OpportunityLineItem", "Product2", "PricebookEntry")
READ_ONLY = ("User", "Organization", "CurrencyType")
TYPES = {"s": "string", "t": "textarea", "e": "email", "n": "double", "m": "currency", "b": "boolean"}
TYPES |= {"d": "date", "z": "datetime", "r": "reference"}
_WORD = re.compile(r"(?P<name>\w+):(?P<type>[a-z])(?P<length>\d*)(?:\((?P<target>\w+)\))?(?P<marks>[!cu-]*)")


@dataclass(frozen=True)
class Field:
    """One field of an object."""

    name: str
    type: str
    length: int = 0
    target: str | None = None
    required: bool = False
    createable: bool = True
    updateable: bool = True
    external_id: bool = False

    @property
    def relationship(self) -> str | None:
        """The name that leads from this reference to its record, e.g. Account for AccountId."""
        if not self.target:
            return None
        return self.name[:-1] + "r" if self.name.endswith("__c") else self.name.removesuffix("Id")


@dataclass(frozen=True)
class Object:
    """One object of the org."""

    name: str
    fields: dict[str, Field]
    children: dict[str, tuple[str, str]] = field(default_factory=dict)

    def find(self, name: str) -> Field | None:
        """The field of this name; names ignore case, as in SOQL."""
        return self.fields.get(name) or next((f for key, f in self.fields.items() if key.lower() == name.lower()), None)

    def parent(self, relationship: str) -> Field | None:
        """The reference that a relationship name goes through."""
        return next((f for f in self.fields.values() if (f.relationship or "").lower() == relationship.lower()), None)


def parse_field(word: str) -> Field:
    """Read one word of the field lists.

    >>> parse_field("Name:s255!").required
    True
    """
    found = _WORD.fullmatch(word)
    if not found:
        raise ValueError(word)
    marks = found["marks"]
    length = int(found["length"] or 0) or {"t": 32000, "e": 80, "r": 18}.get(found["type"], 0)
    return Field(
        found["name"],
        TYPES[found["type"]],
        length,
        found["target"],
        required="!" in marks,
        createable="-" not in marks,
        updateable="-" not in marks and "c" not in marks,
        external_id="u" in marks,
    )


def build_schema(*, multi_currency: bool, custom_fields: dict[str, str]) -> dict[str, Object]:
    """The org's objects by name; `custom_fields` adds words to objects. CurrencyIsoCode needs multi-currency."""
    schema = {}
    for name, words in OBJECTS.items():
        if name == "CurrencyType" and not multi_currency:
            continue
        extra = "CurrencyIsoCode:s3" if multi_currency and name in WITH_CURRENCY else ""
        every = f"{SYSTEM} {words} {custom_fields.get(name, '')} {extra}".split()
        schema[name] = Object(name, {f.name: f for f in map(parse_field, every)}, CHILDREN.get(name, {}))
    return schema
