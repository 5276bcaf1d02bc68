"""What catalog keeps of a supplier account."""

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Column, DateTime, ForeignKey, Index, Table, Text, Uuid, func, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import Mapped, mapped_column

from kit.db import Base, metadata


class Supplier(Base):
    """A training provider's account; `version` counts every announcement of it."""

    __tablename__ = "suppliers"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(default=1)
    name: Mapped[str]
    status: Mapped[str] = mapped_column(default="active")
    size: Mapped[str]
    language: Mapped[str]
    invoicing: Mapped[dict[str, Any]] = mapped_column(JSONB)
    routes: Mapped[list[str]] = mapped_column(ARRAY(Text))
    exclusive: Mapped[bool] = mapped_column(default=False)
    created_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))

    __table_args__ = (Index("ix_suppliers_name", func.lower(text("name")), "id"),)


class SupplierUser(Base):
    """A person who acts for a supplier; kept when removed, so that the grant can be seen to end."""

    __tablename__ = "supplier_users"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    supplier_id: Mapped[UUID] = mapped_column(ForeignKey("suppliers.id"))
    email: Mapped[str]
    name: Mapped[str | None]
    removed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    version: Mapped[int] = mapped_column(default=1)

    __table_args__ = (
        Index(
            "uq_supplier_users_email",
            "supplier_id",
            "email",
            unique=True,
            postgresql_where=text("removed_at IS NULL"),
        ),
    )


class SupplierSite(Base):
    """A supplier is shown on a site."""

    __tablename__ = "supplier_sites"

    supplier_id: Mapped[UUID] = mapped_column(ForeignKey("suppliers.id"), primary_key=True)
    site: Mapped[str] = mapped_column(primary_key=True)


class SiteRequest(Base):
    """A supplier asks to be shown on a customer's portal."""

    __tablename__ = "site_requests"

    supplier_id: Mapped[UUID] = mapped_column(ForeignKey("suppliers.id"), primary_key=True)
    site: Mapped[str] = mapped_column(primary_key=True)
    state: Mapped[str] = mapped_column(default="asked")
    """`asked`, `granted` or `declined`."""
    asked_by: Mapped[str]
    asked_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    reason: Mapped[str | None]


published_narrowings = Table(
    "published_narrowings",
    metadata,
    Column("supplier_id", Uuid),
    Column("sites", ARRAY(Text)),
    info={"view": True},
)
"""All that suppliers may know of courses: which narrowings their published ones have. A view, made by a migration."""
