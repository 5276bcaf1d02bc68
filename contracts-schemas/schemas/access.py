"""Who may do what, announced by the contracts service."""

from typing import ClassVar
from uuid import UUID

from schemas.event import Event


class AccessChanged(Event):
    """A grant as it now is: somebody holds a role for a tenant, or no longer does.

    The holder is known by issuer and subject, or by a verified e-mail address until first sign-in.
    One of the few events that carry names and addresses of people; `erased` carries none.
    """

    topic: ClassVar[str] = "access.changed"
    key: ClassVar[str] = "grant_id"
    source: ClassVar[str] = "contracts"
    state: ClassVar[bool] = True

    grant_id: UUID
    role: str
    tenant_kind: str
    """`platform`, `partner`, `customer` or `supplier`."""
    tenant_id: UUID | None = None
    """None for the platform."""
    issuer: str | None = None
    subject: str | None = None
    email: str | None = None
    name: str | None = None
    status: str = "active"
    """`active`, `revoked` or `erased`."""

    @property
    def tenant(self) -> str | None:
        """The tenant it gives a role for."""
        return f"{self.tenant_kind}/{self.tenant_id}" if self.tenant_id else None
