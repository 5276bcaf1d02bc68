"""Service products, service contracts and their numbers as stored."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.types import Integer

from contracts.services.rules import Terms
from kit.db import Base, uuid7


class ServiceProduct(Base):
    """Something that can be ordered. It belongs to the platform; everybody may read it."""

    __tablename__ = "service_products"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    version: Mapped[int] = mapped_column(default=1)
    code: Mapped[str]
    kind: Mapped[str]
    label: Mapped[str]
    status: Mapped[str]
    terms_stored: Mapped[dict[str, Any]] = mapped_column("terms", JSONB)
    term_options: Mapped[list[int]] = mapped_column(ARRAY(Integer))
    """Other first terms that an order may choose, in months."""
    conditions_version: Mapped[str]
    conditions_url: Mapped[str | None]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    @property
    def terms(self) -> Terms:
        return Terms.model_validate(self.terms_stored)

    @terms.setter
    def terms(self, terms: Terms) -> None:
        self.terms_stored = terms.model_dump(mode="json")


class ServiceContract(Base):
    """One running service of a customer. Its terms are its own: a product that changes leaves them alone."""

    __tablename__ = "service_contracts"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    version: Mapped[int] = mapped_column(default=1)
    """Counts every change; a termination that schedules or lifts the last day changes it too."""
    customer_id: Mapped[UUID]
    partner_id: Mapped[UUID | None]
    kind: Mapped[str]
    state: Mapped[str]
    product_id: Mapped[UUID]
    product_code: Mapped[str]
    label: Mapped[str]
    terms_stored: Mapped[dict[str, Any]] = mapped_column("terms", JSONB)
    """The terms as they were agreed, with the term that was chosen."""
    currency: Mapped[str]
    monthly_fee: Mapped[int] = mapped_column(BigInteger)
    one_off_open: Mapped[int] = mapped_column(BigInteger)
    """One-off costs that are not invoiced yet, in the minor unit (CON-11)."""
    starts_on: Mapped[date]
    anchor_day: Mapped[int]
    """Day of the month on which billing months begin; kept apart, since clipped dates forget it."""
    term_ends_on: Mapped[date | None]
    """Last day of the term that runs; a job moves it when the contract renews."""
    renews_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    """The midnight at which that day is over."""
    last_day: Mapped[date | None]
    """Set while a termination is scheduled, and when it ended."""
    time_zone: Mapped[str]
    invoicer: Mapped[str]
    deal_id: Mapped[UUID | None]
    order_id: Mapped[UUID | None]
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    @property
    def terms(self) -> Terms:
        return Terms.model_validate(self.terms_stored)


class ContractNumbers(Base):
    """Numbers that ring on a service: one, or a range, as digits of E.164 without the plus."""

    __tablename__ = "contract_numbers"

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid7)
    contract_id: Mapped[UUID]
    customer_id: Mapped[UUID]
    partner_id: Mapped[UUID | None]
    first: Mapped[int] = mapped_column(BigInteger)
    last: Mapped[int] = mapped_column(BigInteger)
    since: Mapped[date]
    until: Mapped[date | None]
    """The last day they ring here; None while they do."""
