"""Grants as contracts keeps them, and the suppliers it has heard of."""

from datetime import datetime
from uuid import UUID

from sqlalchemy import DateTime
from sqlalchemy.orm import Mapped, mapped_column

from contracts.access.rules import Holder, Tenant, TenantKind
from kit.db import Base, uuid7


class AccessGrant(Base):
    """Somebody holds a role for a tenant. Active ones are unique by holder, role and tenant.

    One column per kind of tenant, so that row-level security lets a partner see the grants of its customers.
    """

    __tablename__ = "access_grants"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    version: Mapped[int] = mapped_column(default=1)
    status: Mapped[str]
    role: Mapped[str]
    tenant_kind: Mapped[str]
    partner_id: Mapped[UUID | None]
    """The partner, or the partner above the customer."""
    customer_id: Mapped[UUID | None]
    supplier_id: Mapped[UUID | None]
    holder: Mapped[str]
    """To whom it was given: the address in lower case, or issuer and subject. It stays when an address is bound."""
    email: Mapped[str | None]
    name: Mapped[str | None]
    issuer: Mapped[str | None]
    subject: Mapped[str | None]
    given_by: Mapped[str]
    given_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    @classmethod
    def of(cls, who: Holder, role: str, tenant: Tenant, *, given_by: str, given_at: datetime) -> "AccessGrant":
        """A new grant."""
        return cls(
            id=uuid7(),
            version=1,
            status="active",
            role=role,
            tenant_kind=tenant.kind,
            partner_id=tenant.partner_id,
            customer_id=tenant.id if tenant.kind is TenantKind.CUSTOMER else None,
            supplier_id=tenant.id if tenant.kind is TenantKind.SUPPLIER else None,
            holder=who.identity,
            email=who.email,
            name=who.name,
            issuer=who.issuer,
            subject=who.subject,
            given_by=given_by,
            given_at=given_at,
        )

    @property
    def tenant_id(self) -> UUID | None:
        """The tenant's id; none for the platform."""
        match self.tenant_kind:
            case "partner":
                return self.partner_id
            case "customer":
                return self.customer_id
            case "supplier":
                return self.supplier_id
        return None

    @property
    def tenant(self) -> Tenant:
        """The tenant, as the rules want it."""
        return Tenant(TenantKind(self.tenant_kind), self.tenant_id, self.partner_id)


class KnownSupplier(Base):
    """A supplier, copied from what catalog announces."""

    __tablename__ = "known_suppliers"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    name: Mapped[str]
    status: Mapped[str]
    language: Mapped[str]
