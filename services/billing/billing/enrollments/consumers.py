"""Steps of enrollments, in the order of the log, to wallets or to instructions by the way of payment."""

from collections.abc import Sequence

from billing.instructions import rules as instructed
from billing.instructions import usecases as instructions
from billing.wallets import usecases as wallets
from billing.wallets.rules import CREDITS_MAX, Ask, Step
from kit import clock
from kit.consumer import batches, wait_for
from kit.db import Session
from schemas.enrollment import (
    EnrollmentApproved,
    EnrollmentCancelled,
    EnrollmentDeclined,
    EnrollmentExpired,
    EnrollmentFact,
    EnrollmentRefused,
    EnrollmentRepriced,
    EnrollmentRequested,
    EnrollmentWithdrawn,
)

WAIT_S = 3600.0
"""How long a step waits for its wallet, customer or supplier before it is parked."""

STEPS = (
    EnrollmentRequested,
    EnrollmentApproved,
    EnrollmentDeclined,
    EnrollmentWithdrawn,
    EnrollmentExpired,
    EnrollmentRefused,
    EnrollmentCancelled,
    EnrollmentRepriced,
)


@batches(*STEPS)
async def on_enrollments(db: Session, events: Sequence[EnrollmentFact]) -> list[wait_for]:
    """Hold, charge and give back credits; instruct, replace and withdraw invoices."""
    now = clock.now()
    by_credits = [e for e in events if e.payment == "credits" and not isinstance(e, EnrollmentRepriced)]
    without_wallet = await wallets.settle(db, [_credits(e) for e in by_credits], now)
    by_invoice = [e for e in events if e.payment == "invoice" and not isinstance(e, EnrollmentRequested)]
    without_party = await instructions.settle(db, [_invoice(e) for e in by_invoice], now)
    return [
        *(wait_for(by_credits[i], f"wallet/{by_credits[i].partner_id}", WAIT_S) for i in sorted(without_wallet)),
        *(wait_for(by_invoice[i], key, WAIT_S) for i, key in without_party.items()),
    ]


def _credits(event: EnrollmentFact) -> Step:
    """What an event asks of the wallet. Raises `ValueError` where it does not say what it must."""
    if event.partner_id is None:
        raise ValueError("an enrollment paid by credits names no partner")
    ask, credits, actor = Ask.END, 0, "system"
    match event:
        case EnrollmentRequested():
            ask, credits, actor = Ask.HOLD, _price(event), f"person:{event.person_id}"
        case EnrollmentApproved():
            ask, credits, actor = Ask.CHARGE, _price(event), event.approved_by
        case EnrollmentDeclined():
            actor = "manager"
        case EnrollmentWithdrawn():
            actor = f"person:{event.person_id}"
        case EnrollmentCancelled():
            ask, credits, actor = Ask.CANCEL, event.credits_returned, event.cancelled_by
    if credits < 0:
        raise ValueError("a cancellation gives back less than nothing")
    return Step(ask, event.enrollment_id, event.partner_id, credits, actor, event.topic)


def _invoice(event: EnrollmentFact) -> instructions.Step:
    """What an event asks of the instruction. Raises `ValueError` for a price that does not fit."""
    ask, price = instructed.Ask.END, None
    match event:
        case EnrollmentApproved():
            ask, price = instructed.Ask.INSTRUCT, event.price
        case EnrollmentRepriced():
            ask, price = instructed.Ask.REPRICE, event.price
        case EnrollmentCancelled():
            ask, price = instructed.Ask.CANCEL, event.price_kept
    return instructions.Step(
        ask=ask,
        enrollment_id=event.enrollment_id,
        version=event.version,
        person_id=event.person_id,
        partner_id=event.partner_id,
        customer_id=event.customer_id,
        supplier_id=event.supplier_id,
        public=event.way == "public",
        price=instructed.Price(**price.model_dump()) if price else None,
    )


def _price(event: EnrollmentFact) -> int:
    if event.credits is None or not 0 < event.credits <= CREDITS_MAX:
        raise ValueError(f"a price of {event.credits} credits is none")
    return event.credits
