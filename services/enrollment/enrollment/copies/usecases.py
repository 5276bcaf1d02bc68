"""Keeping local copies: what is newer replaces what is held, one statement a kind of row."""

from collections.abc import Sequence
from uuid import UUID

from sqlalchemy import select

from enrollment.copies.rows import courses, customers, partners, supplier_users, suppliers, terms
from enrollment.people.usecases import follow_customers
from enrollment.seats.usecases import Announced, keep_sessions
from kit.auth import Grant, Role, keep_grants
from kit.db import Session, upsert_newer
from schemas.course import CoursePublished, TermsChanged
from schemas.customer import CustomerChanged
from schemas.partner import PartnerChanged
from schemas.supplier import SupplierChanged


async def keep_partners(db: Session, events: Sequence[PartnerChanged]) -> None:
    fields = ("version", "name", "kind", "status", "wallet", "language")
    await upsert_newer(db, partners, [{"id": e.partner_id, **{f: getattr(e, f) for f in fields}} for e in events])


async def keep_customers(db: Session, events: Sequence[CustomerChanged]) -> None:
    """Copy customers; their people belong to the customer's partner, whichever that is now."""
    fields = ("version", "name", "status", "partner_id", "language")
    changed = await upsert_newer(
        db, customers, [{"id": e.customer_id, **{f: getattr(e, f) for f in fields}} for e in events]
    )
    if changed:
        found = select(customers.c.id, customers.c.partner_id).where(customers.c.id.in_(changed))
        await follow_customers(db, {row.id: row.partner_id for row in await db.execute(found)})


async def keep_suppliers(db: Session, events: Sequence[SupplierChanged]) -> None:
    """Copy suppliers, and let their users in: a grant each, revoked for who is no longer among them."""
    newest = {e.supplier_id: e for e in sorted(events, key=lambda e: e.version)}
    held = select(supplier_users).where(supplier_users.c.id.in_(sorted(newest))).with_for_update()
    before = {row.id: row for row in await db.execute(held.order_by(supplier_users.c.id))}
    newer = [e for e in newest.values() if e.supplier_id not in before or before[e.supplier_id].version < e.version]
    await upsert_newer(
        db,
        suppliers,
        [
            {
                "id": e.supplier_id,
                "version": e.version,
                "name": e.name,
                "status": e.status,
                "language": e.language,
                "sites": [s.model_dump() for s in e.sites],
            }
            for e in newer
        ],
    )
    await upsert_newer(
        db,
        supplier_users,
        [
            {
                "id": e.supplier_id,
                "version": e.version,
                "users": {str(u.user_id): u.email for u in e.users} if e.status == "active" else {},
            }
            for e in newer
        ],
    )
    await keep_grants(
        db,
        "supplier",
        [
            grant
            for e in newer
            for grant in _supplier_grants(e, before[e.supplier_id].users if e.supplier_id in before else {})
        ],
    )


def _supplier_grants(e: SupplierChanged, before: dict[str, str]) -> list[Grant]:
    def grant(user_id: str, email: str | None, status: str) -> Grant:
        key = f"{e.supplier_id}/{user_id}"
        return Grant(key, e.version, Role.SUPPLIER_USER, "supplier", e.supplier_id, email, status=status)

    users = {str(u.user_id): u for u in e.users} if e.status == "active" else {}
    gone = [grant(user_id, None, "erased") for user_id in before if user_id not in users]
    return gone + [grant(user_id, u.email, "active") for user_id, u in users.items()]


async def keep_courses(db: Session, events: Sequence[CoursePublished], support: str) -> None:
    """Copy courses and their sessions. A withdrawn one stays, for the enrollments that go on."""
    newest = {e.course_id: e for e in sorted(events, key=lambda e: e.version)}
    changed = await upsert_newer(
        db,
        courses,
        [
            {
                "id": e.course_id,
                "version": e.version,
                "title": e.title,
                "status": e.status,
                "kind": e.kind,
                "language": e.language,
                "offered_by": e.offered_by,
                "supplier_id": e.supplier_id,
                "owner_partner_id": e.owner_partner_id,
                "certificate": e.certificate,
                "prices": [p.model_dump(mode="json") for p in e.prices],
                "credits": e.credits.model_dump(mode="json"),
                "sites": e.sites,
                "cancellation": e.cancellation.model_dump(mode="json"),
            }
            for e in newest.values()
        ],
    )
    newer = [newest[id_] for id_ in changed]
    announced = [
        Announced(s.session_id, e.course_id, e.version, s.starts_at, s.ends_at, s.place, s.capacity, s.status)
        for e in newer
        for s in e.sessions
    ]
    await keep_sessions(db, announced, {e.course_id: e.version for e in newer}, support)


async def keep_terms(db: Session, events: Sequence[TermsChanged]) -> None:
    fields = (
        "version", "kind", "supplier_id", "customer_id", "status", "valid_from", "discount_bp",
        "platform_share_bp",
    )  # fmt: skip
    await upsert_newer(
        db,
        terms,
        [
            {
                "id": e.terms_id,
                **{f: getattr(e, f) for f in fields},
                "minimum_fee": e.minimum_fee and e.minimum_fee.amount,
                "currency": e.minimum_fee and e.minimum_fee.currency,
            }
            for e in events
        ],
    )


async def partner_of_customer(db: Session, customer_id: UUID) -> UUID | None:
    """The partner that serves a customer, whose admins may act for it."""
    found: UUID | None = await db.scalar(select(customers.c.partner_id).where(customers.c.id == customer_id))
    return found
