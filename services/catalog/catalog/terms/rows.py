"""What catalog keeps of commercial terms."""

from datetime import date
from uuid import UUID

from sqlalchemy import CheckConstraint, Date, ForeignKey, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from kit.db import Base


class Terms(Base):
    """Terms for one scope from one day on. Later ones are rows of their own, so that earlier ones still hold."""

    __tablename__ = "terms"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    kind: Mapped[str]
    supplier_id: Mapped[UUID | None] = mapped_column(ForeignKey("suppliers.id"))
    customer_id: Mapped[UUID | None]
    status: Mapped[str]
    valid_from: Mapped[date] = mapped_column(Date)
    discount_bp: Mapped[int]
    platform_share_bp: Mapped[int]
    minimum_fee_amount: Mapped[int | None]
    minimum_fee_currency: Mapped[str | None]

    __table_args__ = (
        UniqueConstraint("kind", "supplier_id", "customer_id", "valid_from", postgresql_nulls_not_distinct=True),
        CheckConstraint(
            "discount_bp between 0 and 10000 and platform_share_bp between 0 and 10000"
            " and (kind <> 'public' or discount_bp = 0)",
            name="figures",
        ),
        CheckConstraint(
            "(minimum_fee_amount is null) = (minimum_fee_currency is null) and minimum_fee_amount >= 0",
            name="minimum_fee",
        ),
    )
