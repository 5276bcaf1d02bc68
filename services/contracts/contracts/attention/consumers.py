"""What attention listens to: approvals that wait at a partner's customers, and what ends the waiting (POR-4)."""

from collections.abc import Sequence
from datetime import timedelta

from contracts.attention.usecases import Item, Resolution, open_items, resolve_items
from contracts.customers.usecases import names_and_partners
from kit import clock
from kit.consumer import batches
from kit.db import Session
from schemas.enrollment import (
    EnrollmentApproved,
    EnrollmentCancelled,
    EnrollmentDeclined,
    EnrollmentExpired,
    EnrollmentFact,
    EnrollmentRefused,
    EnrollmentRequested,
    EnrollmentWithdrawn,
)

DUE_AFTER = timedelta(days=3)
"""When an approval that waits is due on the list; the manager is reminded then, too."""


@batches(
    EnrollmentRequested,
    EnrollmentApproved,
    EnrollmentDeclined,
    EnrollmentWithdrawn,
    EnrollmentExpired,
    EnrollmentRefused,
    EnrollmentCancelled,
)
async def on_approvals(db: Session, events: Sequence[EnrollmentFact]) -> None:
    """A request waits on the list of the customer's partner until it is decided, in whatever way and order."""
    customers = await names_and_partners(db, {event.customer_id for event in events if event.customer_id})
    items: list[Item] = []
    over: list[Resolution] = []
    for event in events:
        name, partner_id = customers.get(event.customer_id, ("", None)) if event.customer_id else ("", None)
        key = f"approval_waiting/{event.enrollment_id}"
        if partner_id is None:
            continue
        if not isinstance(event, EnrollmentRequested):
            over.append(Resolution(key))
            continue
        items.append(
            Item(
                kind="approval_waiting",
                key=key,
                subject=name,
                next_action="remind_manager",
                due_at=min(event.at + DUE_AFTER, event.expires_at),
                partner_id=partner_id,
                customer_id=event.customer_id,
                detail={"enrollment_id": str(event.enrollment_id)},
            )
        )
    await open_items(db, items, now=clock.now())
    await resolve_items(db, over, by="system:enrollment", now=clock.now())
