"""Price changes over HTTP, and the page behind the link that asks for consent."""

from datetime import datetime
from typing import Any
from uuid import UUID

from pydantic import BaseModel, Field

from enrollment.approvals.usecases import asked_about
from enrollment.enrollments import usecases as enrollments
from enrollment.enrollments.access import EVERYBODY, STAFF
from enrollment.enrollments.usecases import EnrollmentNotFound, NotOpen
from enrollment.pace import moment
from enrollment.repricing import usecases
from enrollment.repricing.usecases import ConsentNotTheirs, NotInvoiced, PriceChange, PriceChangeNotFound, paid
from enrollment.repricing.words import words_in
from kit.db import Session
from kit.http import Caller, Db, Once, Router, needs, problems
from kit.links import Link, Matter, Purpose

router = Router(prefix="/v1/enrollments/{enrollment_id}/price-change", tags=["price changes"])


class PriceChangeIn(BaseModel):
    amount: int = Field(ge=0, le=10**12)
    """The new list price, net of VAT, in minor units of the enrollment's currency."""
    reason: str = Field(min_length=1, max_length=2000)


class PriceChangeOut(BaseModel):
    price_change_id: UUID
    enrollment_id: UUID
    state: str
    currency: str
    price: int
    discount: int
    fee: int
    customer_pays: int
    reason: str
    awaits: list[str]
    """Whose consent is still missing."""
    consents: dict[str, Any]
    proposed_at: datetime
    expires_at: datetime


def shown(c: PriceChange) -> PriceChangeOut:
    return PriceChangeOut(
        price_change_id=c.id,
        enrollment_id=c.enrollment_id,
        state=c.state,
        currency=c.price.currency,
        price=c.price.price,
        discount=c.price.discount,
        fee=c.price.fee,
        customer_pays=c.price.customer_pays,
        reason=c.reason,
        awaits=c.missing if c.state == "open" else [],
        consents={who: {"at": consent["at"]} for who, consent in c.consents.items()},
        proposed_at=c.proposed_at,
        expires_at=c.expires_at,
    )


@router.post(
    "",
    status_code=201,
    dependencies=[needs(*STAFF, "supplier_user")],
    responses=problems(EnrollmentNotFound, NotOpen, NotInvoiced),
)
async def post_price_change(
    enrollment_id: UUID, body: PriceChangeIn, caller: Caller, db: Db, once: Once
) -> PriceChangeOut:
    """Propose a new price, with a reason. The participant is asked by mail, and the approver where it rises."""
    e, _ = await enrollments.for_change(db, enrollment_id, caller)
    return shown(await usecases.propose(db, e, body.amount, body.reason.strip(), moment(db), by=caller.actor))


@router.get(
    "",
    dependencies=[needs(*EVERYBODY, "supplier_user")],
    responses=problems(EnrollmentNotFound, PriceChangeNotFound),
)
async def get_price_change(enrollment_id: UUID, caller: Caller, db: Db) -> PriceChangeOut:
    """The newest price change of an enrollment."""
    await enrollments.get(db, enrollment_id, caller)
    return shown(await usecases.latest(db, enrollment_id))


CONSENT_REFUSALS = (EnrollmentNotFound, PriceChangeNotFound, ConsentNotTheirs, NotOpen)


@router.post("/agree", dependencies=[needs(*EVERYBODY)], responses=problems(*CONSENT_REFUSALS))
async def post_agree(enrollment_id: UUID, caller: Caller, db: Db, once: Once) -> PriceChangeOut:
    """Agree, as the participant or as its approver. The last consent makes the price hold."""
    return await _answer(enrollment_id, caller, db, agree=True)


@router.post("/decline", dependencies=[needs(*EVERYBODY)], responses=problems(*CONSENT_REFUSALS))
async def post_decline(enrollment_id: UUID, caller: Caller, db: Db, once: Once) -> PriceChangeOut:
    """Decline, as the participant or as its approver: the price stays as it was."""
    return await _answer(enrollment_id, caller, db, agree=False)


async def _answer(enrollment_id: UUID, caller: Caller, db: Session, *, agree: bool) -> PriceChangeOut:
    e, _ = await enrollments.for_change(db, enrollment_id, caller)
    change = await usecases.latest(db, enrollment_id)
    return shown(await usecases.answer(db, e, change.id, moment(db), agree=agree, email=caller.email, by=caller.actor))


async def show(db: Session, matter_id: UUID, link: Link) -> Matter:
    """The proposal, or how it ended."""
    change = await usecases.get(db, matter_id)
    e = await enrollments.by_id(db, change.enrollment_id)
    asked = (await asked_about(db, [e]))[e.id]
    words = words_in(link.language)
    return Matter(
        title=words["title"],
        lines=[
            (words["person"], asked.person),
            (words["course"], asked.course),
            (words["old"], paid(e.price)),
            (words["new"], paid(change.price)),
            (words["reason"], change.reason),
        ],
        actions=[("agree", words["agree"]), ("decline", words["decline"])],
        outcome=words[change.state] if change.state != "open" else None,
        version=link.version,
    )


async def act(db: Session, link: Link, action: str, note: str, now: datetime) -> str:
    """The answer of whoever holds the link."""
    change = await usecases.get(db, link.matter_id)
    e = await enrollments.by_id(db, change.enrollment_id, lock=True)
    agree = action == "agree"
    answered = await usecases.answer(
        db, e, change.id, moment(db, now), agree=agree, email=link.recipient, by=link.actor
    )
    return words_in(link.language)[answered.state]


REPRICE = Purpose(show, act)
