"""Which roles exist for whom, and who may hand them out."""

from dataclasses import dataclass
from enum import StrEnum
from uuid import UUID


class TenantKind(StrEnum):
    """The kinds of organisation somebody can act for."""

    PLATFORM = "platform"
    PARTNER = "partner"
    CUSTOMER = "customer"
    SUPPLIER = "supplier"


class Status(StrEnum):
    """A revoked grant stays on record."""

    ACTIVE = "active"
    REVOKED = "revoked"


ROLES_OF: dict[TenantKind, frozenset[str]] = {
    TenantKind.PLATFORM: frozenset({"admin", "support", "finance", "editor"}),
    TenantKind.PARTNER: frozenset({"partner_admin", "learner"}),
    TenantKind.CUSTOMER: frozenset({"customer_admin", "hr", "manager", "learner"}),
    TenantKind.SUPPLIER: frozenset({"supplier_user"}),
}
"""The roles that can be granted for each kind of tenant."""

GIVEN_BY_PARTNERS = frozenset({"customer_admin", "hr"})
"""What a partner's admin may grant for its customers; its own admins come from the platform (CON-1)."""


@dataclass(frozen=True, slots=True)
class Tenant:
    """An organisation to act for, with what an invitation to it needs."""

    kind: TenantKind
    id: UUID | None = None
    partner_id: UUID | None = None
    """The partner above it: itself, for a partner."""
    name: str = "Tandem"
    language: str = "en"
    signed_by: str = "Tandem"
    """Whose name stands under its mails: a whitelabel partner's people see the partner's alone."""


@dataclass(frozen=True, slots=True)
class Holder:
    """Somebody, known by issuer and subject, or by a verified e-mail address until first sign-in."""

    email: str | None = None
    name: str | None = None
    issuer: str | None = None
    subject: str | None = None

    def __post_init__(self) -> None:
        if (self.issuer is None) != (self.subject is None):
            raise ValueError("issuer and subject are given together")
        if self.email is None and self.subject is None:
            raise ValueError("a holder is known by e-mail, or by issuer and subject")

    @property
    def identity(self) -> str:
        """What makes two grants the same person's."""
        return f"{self.issuer} {self.subject}" if self.subject else str(self.email).lower()


def role_fits(role: str, kind: TenantKind) -> bool:
    """Whether `role` exists for tenants of this kind."""
    return role in ROLES_OF[kind]


def may_give(role: str, tenant: Tenant, *, platform_admin: bool, partner_id: UUID | None) -> bool:
    """Whether a platform admin, or an admin of `partner_id`, may grant or revoke `role` for `tenant`."""
    if platform_admin:
        return True
    own_customer = tenant.kind is TenantKind.CUSTOMER and tenant.partner_id == partner_id
    return partner_id is not None and own_customer and role in GIVEN_BY_PARTNERS
