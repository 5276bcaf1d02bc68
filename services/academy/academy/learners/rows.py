"""People as enrollment announces them."""

from uuid import UUID

from sqlalchemy.orm import Mapped, mapped_column

from kit.db import Base


class Person(Base):
    """A copy of a person; an erased one has neither name nor address."""

    __tablename__ = "people"

    id: Mapped[UUID] = mapped_column(primary_key=True)
    version: Mapped[int]
    status: Mapped[str]
    name: Mapped[str | None]
    email: Mapped[str | None]
    """In lower case."""
    language: Mapped[str]
    customer_id: Mapped[UUID | None]
    partner_id: Mapped[UUID | None]
    manager_id: Mapped[UUID | None]
