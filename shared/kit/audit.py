"""Who did what, on record for every change of state; rows are only ever added."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import insert
from sqlalchemy.ext.asyncio import AsyncSession

from kit.tables import audit


async def record(
    db: AsyncSession, actor: str, action: str, *, subject: str, detail: Mapping[str, Any] | None = None
) -> None:
    """Put on record that `actor` did `action` to `subject` (`wallet/<id>`). No personal data in `detail`."""
    await db.execute(insert(audit).values(actor=actor, action=action, subject=subject, detail=dict(detail or {})))
