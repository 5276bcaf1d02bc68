"""Partners as stored."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import DateTime
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, mapped_column

from contracts.customers.rules import Invoicing
from contracts.partners.rules import Branding, Kind, PartnerTerms, Status, TeamMember
from kit.db import Base, uuid7


class Partner(Base):
    """A partner; its id is the tenant that row-level security looks for."""

    __tablename__ = "partners"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    version: Mapped[int] = mapped_column(default=1)
    name: Mapped[str]
    kind: Mapped[str]
    status: Mapped[str]
    wallet: Mapped[bool]
    language: Mapped[str]
    time_zone: Mapped[str] = mapped_column(default="Europe/Amsterdam")
    responsible_grant_id: Mapped[UUID | None]
    responsible_name: Mapped[str | None]
    """Copied from the grant, because a partner may not read the platform's grants."""
    responsible_email: Mapped[str | None]
    branding_stored: Mapped[dict[str, Any]] = mapped_column("branding", JSONB, default=dict)
    invoicing_stored: Mapped[dict[str, Any]] = mapped_column("invoicing", JSONB, default=dict)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    @property
    def branding(self) -> Branding:
        """How it looks, where it is a whitelabel partner."""
        return Branding.model_validate(self.branding_stored)

    @branding.setter
    def branding(self, branding: Branding) -> None:
        self.branding_stored = branding.model_dump(mode="json", exclude_none=True)

    @property
    def brand_name(self) -> str:
        """The name that its people see: a whitelabel partner's own, else the platform's."""
        return self.branding.name or self.name if self.kind == Kind.WHITELABEL else "Tandem"

    @property
    def terms(self) -> PartnerTerms:
        """What staff decided about this partner."""
        responsible = None
        if self.responsible_grant_id is not None:
            responsible = TeamMember(self.responsible_grant_id, self.responsible_name, self.responsible_email)
        return PartnerTerms(
            name=self.name,
            kind=Kind(self.kind),
            wallet=self.wallet,
            language=self.language,
            time_zone=self.time_zone,
            status=Status(self.status),
            responsible=responsible,
        )

    @terms.setter
    def terms(self, terms: PartnerTerms) -> None:
        self.name = terms.name
        self.kind = terms.kind
        self.wallet = terms.wallet
        self.language = terms.language
        self.time_zone = terms.time_zone
        self.status = terms.status
        member = terms.responsible
        self.responsible_grant_id = member.grant_id if member else None
        self.responsible_name = member.name if member else None
        self.responsible_email = member.email if member else None

    @property
    def invoicing(self) -> Invoicing:
        """What its own invoices carry, as far as it is known."""
        return Invoicing.stored(self.invoicing_stored)

    @invoicing.setter
    def invoicing(self, details: Invoicing) -> None:
        self.invoicing_stored = details.model_dump(mode="json", exclude_none=True)


class Logo(Base):
    """A logo under the hash of its content; it belongs to nobody, since everybody may see it."""

    __tablename__ = "logos"

    hash: Mapped[str] = mapped_column(primary_key=True)
    png: Mapped[bytes]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
