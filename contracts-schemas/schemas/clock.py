"""Facts about test clocks, announced by the contracts service where these are switched on."""

from datetime import datetime
from typing import ClassVar
from uuid import UUID

from schemas.event import Event


class ClockChanged(Event):
    """A tenant's test clock as it now stands: its time until it is advanced again. Never in production."""

    topic: ClassVar[str] = "clock.changed"
    key: ClassVar[str] = "tenant_id"
    source: ClassVar[str] = "contracts"
    state: ClassVar[bool] = True

    tenant_kind: str
    """`partner`, whose customers follow it, or `customer`, which has no partner."""
    tenant_id: UUID
    time: datetime
    """Never earlier than in the version before."""

    @property
    def tenant(self) -> str:
        """Whose time it is."""
        return f"{self.tenant_kind}/{self.tenant_id}"
