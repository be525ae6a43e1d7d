"""`$metadata`: the services' types as EDMX, written from the field lists."""

from xml.sax.saxutils import quoteattr

from crmsync.sandbox.sap.metadata import Entity, Field, services

_HEAD = (
    '<?xml version="1.0" encoding="utf-8"?><edmx:Edmx Version="1.0" '
    'xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx" '
    'xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata" '
    'xmlns:sap="http://www.sap.com/Protocols/SAPData"><edmx:DataServices m:DataServiceVersion="2.0">'
)


def metadata(service: str) -> bytes:
    """The EDMX document of one service (without associations)."""
    types = "".join(map(_type, services()[service].values()))
    sets = "".join(
        f'<EntitySet Name="{one.name}" EntityType="{service}.{one.name}Type"/>' for one in services()[service].values()
    )
    schema = (
        f'<Schema Namespace="{service}" xmlns="http://schemas.microsoft.com/ado/2008/09/edm">{types}'
        f'<EntityContainer Name="{service}_Entities" m:IsDefaultEntityContainer="true">{sets}</EntityContainer>'
        "</Schema>"
    )
    return f"{_HEAD}{schema}</edmx:DataServices></edmx:Edmx>".encode()


def _type(entity: Entity) -> str:
    keys = "".join(f'<PropertyRef Name="{name}"/>' for name in entity.keys)
    fields = "".join(map(_property, entity.fields.values()))
    return f'<EntityType Name="{entity.name}Type"><Key>{keys}</Key>{fields}</EntityType>'


def _property(field: Field) -> str:
    sizes = {"MaxLength": field.length, "Precision": field.precision, "Scale": field.scale}
    shown = "".join(f" {name}={quoteattr(str(size))}" for name, size in sizes.items() if size is not None)
    locked = "" if field.writable else ' sap:creatable="false" sap:updatable="false"'
    return f'<Property Name="{field.name}" Type="Edm.{field.kind}"{shown}{locked}/>'
