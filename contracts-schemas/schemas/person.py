"""Facts about people who learn, announced by the enrollment service."""

from typing import ClassVar
from uuid import UUID

from pydantic import Field

from schemas.event import Event


class PersonChanged(Event):
    """A person as it now is. One of the few events that carry names and addresses; `erased` carries none."""

    topic: ClassVar[str] = "person.changed"
    key: ClassVar[str] = "person_id"
    source: ClassVar[str] = "enrollment"
    state: ClassVar[bool] = True

    person_id: UUID
    status: str = "active"
    """`active`, `left` or `erased`."""
    name: str | None = None
    email: str | None = None
    language: str = "en"
    customer_id: UUID | None = None
    partner_id: UUID | None = None
    """The partner it belongs to, directly or through its customer."""
    manager_id: UUID | None = None
    roles: list[str] = Field(default_factory=list)
    """Roles beyond `learner` for its customer: `manager`, `hr`, `customer_admin`."""
