"""A new price for a confirmed place: the participant agrees, and the approver too where it rises (ENR-8)."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import insert, select, update

from enrollment.approvals.usecases import Asked, asked_about, tenant_of
from enrollment.enrollments.rules import Enrollment, State
from enrollment.enrollments.usecases import NotOpen, reprice
from enrollment.moment import Moment
from enrollment.money import readable
from enrollment.people.usecases import find
from enrollment.prices.rules import Price, split, terms_for
from enrollment.prices.usecases import ground
from enrollment.repricing.rows import price_changes
from enrollment.repricing.words import words_in
from kit import links, mail
from kit.db import Session, uuid7
from kit.problems import Refused

PURPOSE = "reprice"
EXPIRE_DAYS = 14
PARTICIPANT, APPROVER = "participant", "approver"


class NotInvoiced(Refused):
    """Only a price that is invoiced can be changed."""

    rule = "ENR-8"


class PriceChangeNotFound(Refused):
    """No price change waits for consent."""

    status = 404
    rule = "ENR-8"


class ConsentNotTheirs(Refused):
    """This change waits for the consent of others."""

    status = 403
    rule = "ENR-8"


@dataclass(frozen=True, slots=True)
class PriceChange:
    """A proposal and how far it is."""

    id: UUID
    enrollment_id: UUID
    price: Price
    reason: str
    proposed_by: str
    proposed_at: datetime
    expires_at: datetime
    awaits: tuple[str, ...]
    """Whose consent it needs: `participant`, and `approver` where the price rises."""
    state: str
    """`open`, `agreed`, `declined` or `replaced` by a newer one."""
    consents: Mapping[str, Any]
    """Who of them agreed, and when."""

    @property
    def missing(self) -> list[str]:
        return [who for who in self.awaits if who not in self.consents]


_COLUMNS = [price_changes.c[name] for name in PriceChange.__slots__]


def _change(row: Any) -> PriceChange:
    return PriceChange(
        **{**dict(row._mapping), "price": Price(**row.price), "awaits": tuple(row.awaits), "consents": row.consents}
    )


async def propose(db: Session, e: Enrollment, amount: int, reason: str, at: Moment, *, by: str) -> PriceChange:
    """Propose another list price for an enrollment read under lock, split by the terms that hold today.

    A newer proposal takes an open one's place. Raises `NotOpen` or `NotInvoiced`.
    """
    if e.state is not State.CONFIRMED:
        raise NotOpen(f"It is {e.state}.", state=e.state.value)
    if e.price is None:
        raise NotInvoiced(payment=e.payment.value)
    basis = await ground(db, e.course_id, None, [e.person_id])
    person = basis and basis.people.get(e.person_id)
    price = split(amount, e.price.currency, terms_for(person.terms if person else (), at.today))
    rises = price.customer_pays > e.price.customer_pays
    change = PriceChange(
        id=uuid7(),
        enrollment_id=e.id,
        price=price,
        reason=reason,
        proposed_by=by,
        proposed_at=at.now,
        expires_at=at.now + timedelta(days=EXPIRE_DAYS),
        awaits=(PARTICIPANT, APPROVER) if rises else (PARTICIPANT,),
        state="open",
        consents={},
    )
    open_ = (price_changes.c.enrollment_id == e.id, price_changes.c.state == "open")
    await db.execute(update(price_changes).where(*open_).values(state="replaced"))
    tenants = {name: getattr(e, name) for name in ("partner_id", "customer_id", "supplier_id")}
    await db.execute(insert(price_changes).values({**_values(change), **tenants}))
    await _ask(db, e, change)
    return change


def _values(change: PriceChange) -> dict[str, Any]:
    values = {name: getattr(change, name) for name in PriceChange.__slots__}
    return {**values, "price": asdict(change.price), "awaits": list(change.awaits)}


async def _ask(db: Session, e: Enrollment, change: PriceChange) -> None:
    asked, addresses = await _concerned(db, e)
    to = [(address, language) for who in change.awaits for address, language in addresses[who]]
    recipients = dict(to)  # one mail each, also for who is concerned twice
    urls = await links.create_many(
        db,
        [
            links.Wanted(PURPOSE, change.id, address, change.expires_at, tenant=tenant_of(e), language=language)
            for address, language in recipients.items()
        ],
    )
    letters = []
    for (address, language), url in zip(recipients.items(), urls, strict=True):
        words = words_in(language)
        body = words["text"].format(
            person=asked.person,
            course=asked.course,
            old=paid(e.price),
            new=paid(change.price),
            reason=change.reason,
            url=url,
        )
        subject = words["subject"].format(person=asked.person, course=asked.course)
        letters.append(mail.Mail(address, subject, body, matter=f"enrollment/{e.id}", event=f"price/{change.id}"))
    await mail.send_many(db, letters)


def paid(price: Price | None) -> str:
    """What the customer pays, as people read it."""
    return readable(price.customer_pays, price.currency) if price else "-"


async def _concerned(db: Session, e: Enrollment) -> tuple[Asked, dict[str, list[tuple[str, str]]]]:
    """The names, and the addresses (with their languages) of who may agree as what."""
    asked = (await asked_about(db, [e]))[e.id]
    person = (await find(db, [e.person_id])).get(e.person_id)
    own = [(person.email, person.language)] if person and person.email else []
    return asked, {PARTICIPANT: own, APPROVER: [(address, asked.language) for address in asked.approvers]}


async def get(db: Session, change_id: UUID, *, lock: bool = False) -> PriceChange:
    """A price change. Raises `PriceChangeNotFound`."""
    query = select(*_COLUMNS).where(price_changes.c.id == change_id)
    row = (await db.execute(query.with_for_update() if lock else query)).one_or_none()
    if row is None:
        raise PriceChangeNotFound(change_id)
    return _change(row)


async def latest(db: Session, enrollment_id: UUID) -> PriceChange:
    """The newest price change of an enrollment. Raises `PriceChangeNotFound`."""
    query = select(*_COLUMNS).where(price_changes.c.enrollment_id == enrollment_id)
    row = (await db.execute(query.order_by(price_changes.c.id.desc()).limit(1))).one_or_none()
    if row is None:
        raise PriceChangeNotFound(enrollment_id)
    return _change(row)


async def answer(
    db: Session, e: Enrollment, change_id: UUID, at: Moment, *, agree: bool, email: str | None, by: str
) -> PriceChange:
    """One of those concerned agrees or declines; the last consent makes the price hold. `e` is read under lock.

    Raises `PriceChangeNotFound`, `ConsentNotTheirs` or `NotOpen`.
    """
    change = await get(db, change_id, lock=True)
    if change.state != "open" or change.expires_at <= at.now:
        raise PriceChangeNotFound(change_id)
    if e.state is not State.CONFIRMED:
        raise NotOpen(f"It is {e.state}.", state=e.state.value)
    _, addresses = await _concerned(db, e)
    as_ = [who for who in change.awaits if email in [address for address, _ in addresses[who]]]
    if not as_:
        raise ConsentNotTheirs(awaits=change.missing)
    consents = {**change.consents, **{who: {"by": by, "at": at.now.isoformat()} for who in as_}}
    missing = [who for who in change.awaits if who not in consents]
    state = "declined" if not agree else "open" if missing else "agreed"
    values = {"state": state, "consents": consents if agree else change.consents}
    await db.execute(update(price_changes).where(price_changes.c.id == change_id).values(values))
    if state == "agreed":
        await reprice(db, e, change.price, at, by=change.proposed_by, why=change.reason)
    return await get(db, change_id)
