"""A small world told to the service by the facts of others, as short as a test wants to say it."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx

from kit.testing import ADMIN, Running
from schemas.access import AccessChanged
from schemas.course import CoursePublished, TermsChanged
from schemas.credits import CreditsCharged, CreditsHeld, CreditsRefused
from schemas.customer import CustomerChanged
from schemas.event import uuid7
from schemas.invoice import InstructedInvoice, InvoiceInstructed
from schemas.partner import PartnerChanged
from schemas.supplier import SiteOpening, SupplierChanged, SupplierUser
from schemas.values import CancellationTerms, CourseSession, CreditOffer, DatedPrice, Money, Party

PARTNER_ADMIN = "ada@partner.example"
SUPPLIER = "sam@supplier.example"


def in_days(days: float) -> datetime:
    return datetime.now(UTC) + timedelta(days=days)


class World:
    """Tells the service about partners, customers and courses, and calls its API."""

    def __init__(self, running: Running) -> None:
        self.running = running

    # -- facts of others -------------------------------------------------------------------------------

    async def partner(self, *, wallet: bool = True, admin: str | None = PARTNER_ADMIN, **more: Any) -> UUID:
        partner_id = uuid7()
        await self.running.deliver(
            PartnerChanged(**{"partner_id": partner_id, "version": 1, "name": "Learning Lab", "wallet": wallet} | more)
        )
        if admin:
            await self.grant("partner_admin", "partner", partner_id, admin)
        return partner_id

    async def grant(self, role: str, kind: str, tenant_id: UUID | None, email: str) -> None:
        await self.running.deliver(
            AccessChanged(grant_id=uuid7(), version=1, role=role, tenant_kind=kind, tenant_id=tenant_id, email=email)
        )

    async def customer(self, partner_id: UUID | None = None, *, admin: str | None = None, **more: Any) -> UUID:
        customer_id = uuid7()
        await self.running.deliver(
            CustomerChanged(
                **{"customer_id": customer_id, "version": 1, "name": "Acme", "partner_id": partner_id} | more
            )
        )
        if admin:
            await self.grant("customer_admin", "customer", customer_id, admin)
        return customer_id

    async def supplier(self, *, sites: Sequence[SiteOpening] | None = None, users: Sequence[str] = (SUPPLIER,)) -> UUID:
        supplier_id = uuid7()
        if sites is None:
            sites = [SiteOpening(site="customer_portal/*", open=True)]
        await self.running.deliver(
            SupplierChanged(
                supplier_id=supplier_id,
                version=1,
                name="Bright Training",
                users=[SupplierUser(user_id=uuid7(), email=email) for email in users],
                sites=list(sites),
            )
        )
        return supplier_id

    def session(self, *, seats: int = 10, in_days_: float = 30, session_id: UUID | None = None) -> CourseSession:
        starts = in_days(in_days_)
        return CourseSession(
            session_id=session_id or uuid7(),
            starts_at=starts,
            ends_at=starts + timedelta(hours=8),
            place="Utrecht",
            capacity=seats,
        )

    async def credit_course(
        self,
        credits: int = 5,
        *,
        sessions: Sequence[CourseSession] = (),
        offer: CreditOffer | None = None,
        **more: Any,
    ) -> UUID:
        """A course of the platform's own, for every partner."""
        course_id = uuid7()
        await self.running.deliver(
            CoursePublished(
                **{
                    "course_id": course_id,
                    "version": 1,
                    "title": "Giving Feedback",
                    "kind": "elearning",
                    "offered_by": "platform",
                    "certificate": True,
                    "credits": offer or CreditOffer(scope="all", general_value=credits),
                    "sessions": list(sessions),
                }
                | more
            )
        )
        return course_id

    async def supplier_course(
        self, supplier_id: UUID, *, price: int = 10_000, sessions: Sequence[CourseSession] = (), **more: Any
    ) -> UUID:
        course_id = uuid7()
        await self.running.deliver(
            CoursePublished(
                **{
                    "course_id": course_id,
                    "version": 1,
                    "title": "Safe Driving",
                    "kind": "classroom",
                    "offered_by": "supplier",
                    "supplier_id": supplier_id,
                    "prices": [DatedPrice(valid_from=date(2026, 1, 1), price=Money(amount=price, currency="EUR"))],
                    "sessions": list(sessions),
                    "cancellation": CancellationTerms(free_until_days=14, then_keep_bp=5000),
                }
                | more
            )
        )
        return course_id

    async def terms(self, **more: Any) -> None:
        await self.running.deliver(
            TermsChanged(
                **{
                    "terms_id": uuid7(),
                    "version": 1,
                    "valid_from": date(2026, 1, 1),
                    "discount_bp": 1500,
                    "platform_share_bp": 5000,
                }
                | more
            )
        )

    # -- answers of billing ----------------------------------------------------------------------------

    async def charged(self, enrollment: dict[str, Any]) -> None:
        await self.running.deliver(charged(enrollment))

    async def refused(self, enrollment: dict[str, Any], available: int = 3) -> None:
        await self.running.deliver(CreditsRefused(**credits_of(enrollment), available=available))

    async def held(self, enrollment: dict[str, Any]) -> None:
        await self.running.deliver(CreditsHeld(**credits_of(enrollment), available=10))

    async def instructed(self, enrollment: dict[str, Any], revision: int = 1, **more: Any) -> None:
        await self.running.deliver(instructed(enrollment, revision, **more))

    # -- its API ---------------------------------------------------------------------------------------

    async def person(self, email: str | None = None, *, by: str = ADMIN, **more: Any) -> dict[str, Any]:
        body = {"name": "Anna de Wit", "email": email or f"p{uuid7().hex[-12:]}@people.example"}
        answer = await self.running.post("/v1/people", body | {k: v and _plain(v) for k, v in more.items()}, email=by)
        assert answer.status_code == 201, answer.text
        person: dict[str, Any] = answer.json()
        return person

    async def enrol(
        self, person: dict[str, Any], course_id: UUID, way: str = "associated", *, by: str = ADMIN, **more: Any
    ) -> httpx.Response:
        headers = {k: more.pop(k) for k in ("key", "tenant", "prefer") if k in more}
        body = {"person_id": person["person_id"], "course_id": str(course_id), "way": way}
        return await self.running.post(
            "/v1/enrollments", body | {k: v and _plain(v) for k, v in more.items()}, email=by, **headers
        )

    async def enrolled(self, person: dict[str, Any], course_id: UUID, way: str = "associated", **more: Any) -> Any:
        answer = await self.enrol(person, course_id, way, **more)
        assert answer.status_code in (201, 202), answer.text
        return answer.json()

    async def enrollment(self, enrollment: dict[str, Any], *, by: str = ADMIN, tenant: str | None = None) -> Any:
        answer = await self.running.get(f"/v1/enrollments/{enrollment['enrollment_id']}", email=by, tenant=tenant)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def act(self, enrollment: dict[str, Any], action: str, *, by: str = ADMIN, **body: Any) -> httpx.Response:
        path = f"/v1/enrollments/{enrollment['enrollment_id']}/{action}"
        return await self.running.post(path, {k: _plain(v) for k, v in body.items()}, email=by)

    async def topics(self) -> list[str]:
        """The enrollment facts announced so far, in order."""
        events = await self.running.everything_published()
        return [e.topic for e in events if e.topic.startswith("enrollment.")]


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, UUID) else value


def credits_of(enrollment: dict[str, Any]) -> dict[str, Any]:
    return {
        "enrollment_id": enrollment["enrollment_id"],
        "partner_id": enrollment["partner_id"],
        "credits": enrollment["credits"],
        "version": 1,
    }


def charged(enrollment: dict[str, Any]) -> CreditsCharged:
    return CreditsCharged(**credits_of(enrollment), available=7)


def instructed(enrollment: dict[str, Any], revision: int = 1, **more: Any) -> InvoiceInstructed:
    price = enrollment["price"]
    invoice = InstructedInvoice(
        document="supplier_invoice",
        seller=Party(kind="supplier", id=enrollment["supplier_id"], name="Bright Training"),
        buyer=Party(kind="customer", id=enrollment["customer_id"], name="Acme"),
        net=Money(amount=price["customer_pays"], currency=price["currency"]),
        term_days=30,
    )
    return InvoiceInstructed(
        **{
            "enrollment_id": enrollment["enrollment_id"],
            "version": revision,
            "revision": revision,
            "route": "supplier_to_customer",
            "reference": "E-2027-0001",
            "invoices": [invoice],
        }
        | more
    )
