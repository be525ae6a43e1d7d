"""`$metadata`: the services' types as EDMX, written from the field lists."""

from xml.sax.saxutils import quoteattr

from crmsync.lab.sandbox.sap.metadata import Entity, Field, Nav, services

_HEAD = (
    '<?xml version="1.0" encoding="utf-8"?><edmx:Edmx Version="1.0" '
    'xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx" '
    'xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata" '
    'xmlns:sap="http://www.sap.com/Protocols/SAPData"><edmx:DataServices m:DataServiceVersion="2.0">'
)


def metadata(service: str) -> bytes:
    """The EDMX document of one service: exactly what is served."""
    found = services()[service].values()
    links = [(one, name, nav) for one in found for name, nav in one.navs.items()]
    sets = "".join(f'<EntitySet Name="{one.name}" EntityType="{service}.{one.name}Type"/>' for one in found)
    sets += "".join(_association_set(service, *link) for link in links)
    schema = (
        f'<Schema Namespace="{service}" xmlns="http://schemas.microsoft.com/ado/2008/09/edm">'
        f"{''.join(map(_type, found))}{''.join(_association(service, *link) for link in links)}"
        f'<EntityContainer Name="{service}_Entities" m:IsDefaultEntityContainer="true">{sets}</EntityContainer>'
        "</Schema>"
    )
    return f"{_HEAD}{schema}</edmx:DataServices></edmx:Edmx>".encode()


def _type(entity: Entity) -> str:
    keys = "".join(f'<PropertyRef Name="{name}"/>' for name in entity.keys)
    fields = "".join(map(_property, entity.fields.values()))
    navs = "".join(_navigation(entity, name) for name in entity.navs)
    return f'<EntityType Name="{entity.name}Type"><Key>{keys}</Key>{fields}{navs}</EntityType>'


def _name(entity: Entity, nav: str) -> str:
    return f"assoc_{entity.name}_{nav}"


def _navigation(entity: Entity, nav: str) -> str:
    name = _name(entity, nav)
    relation = f'Relationship="{entity.service}.{name}" FromRole="FromRole_{name}" ToRole="ToRole_{name}"'
    return f'<NavigationProperty Name="{nav}" {relation}/>'


def _association(service: str, entity: Entity, nav: str, link: Nav) -> str:
    name, many = _name(entity, nav), "*" if link.many else "0..1"
    ends = (("From", entity.name, "1"), ("To", link.target, many))
    shown = "".join(
        f'<End Type="{service}.{target}Type" Multiplicity="{number}" Role="{side}Role_{name}"/>'
        for side, target, number in ends
    )
    return f'<Association Name="{name}">{shown}</Association>'


def _association_set(service: str, entity: Entity, nav: str, link: Nav) -> str:
    name = _name(entity, nav)
    ends = (("From", entity.name), ("To", link.target))
    shown = "".join(f'<End EntitySet="{target}" Role="{side}Role_{name}"/>' for side, target in ends)
    return f'<AssociationSet Name="{name}_Set" Association="{service}.{name}">{shown}</AssociationSet>'


def _property(field: Field) -> str:
    sizes = {"MaxLength": field.length, "Precision": field.precision, "Scale": field.scale}
    shown = "".join(f" {name}={quoteattr(str(size))}" for name, size in sizes.items() if size is not None)
    locked = "" if field.writable else ' sap:creatable="false" sap:updatable="false"'
    return f'<Property Name="{field.name}" Type="Edm.{field.kind}"{shown}{locked}/>'
