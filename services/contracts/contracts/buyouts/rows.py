"""Invoices and credit notes of service contracts, as far as a sum needs them."""

from datetime import date
from uuid import UUID

from sqlalchemy import BigInteger
from sqlalchemy.orm import Mapped, mapped_column

from kit.db import Base


class ContractInvoice(Base):
    """What billing said of an invoice or a credit note for a contract."""

    __tablename__ = "contract_invoices"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    contract_id: Mapped[UUID]
    matter: Mapped[str]
    """`fees`, of the days of a period, or `one_off`."""
    period_from: Mapped[date | None]
    period_to: Mapped[date | None]
    """Both days included."""
    net: Mapped[int] = mapped_column(BigInteger)
    paid: Mapped[bool]
    """Paid in full."""
    credits: Mapped[UUID | None]
    """The invoice that a credit note takes back from."""
