"""Opening wallets, settling what enrollments ask of them, and what staff do to them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Select, insert, select

from billing.platform import platform
from billing.wallets import mails, rows
from billing.wallets.rows import Wallet as Wallet
from billing.wallets.rules import (
    Account,
    Alert,
    Answer,
    Ask,
    Book,
    Charge,
    Lot,
    News,
    Step,
    Turn,
    decide,
)
from kit import audit, mail, outbox
from kit.auth import Role, emails_of
from kit.db import Session, upsert_newer, uuid7
from kit.inbox import arrived
from kit.problems import Refused
from schemas.credits import (
    CreditsCharged,
    CreditsDepleted,
    CreditsHeld,
    CreditsRefunded,
    CreditsRefused,
    CreditsReleased,
    CreditsReplenished,
    CreditsToppedUp,
    EnrollmentCredits,
)


class WalletNotFound(Refused):
    """This partner has no wallet."""

    status = 404
    rule = "BIL-1"


class WalletClosed(Refused):
    """This wallet is closed: its partner no longer pays by wallet."""

    rule = "BIL-1"
    remedy = "Switch the partner's wallet on again first."


class DeductionTooLarge(Refused):
    """A deduction cannot exceed the credits that are available."""

    rule = "BIL-4"
    remedy = "Deduct at most what is available; held credits belong to running requests."


class AlreadyExpired(Refused):
    """Credits cannot be added with an expiry that has passed."""

    status = 422
    remedy = "Give a later `expires_at`, or none."


@dataclass(frozen=True, slots=True)
class PartnerNow:
    """A partner as one `partner.changed` describes it."""

    id: UUID
    version: int
    name: str
    status: str
    wallet: bool
    language: str
    invoicing: dict[str, Any]


async def keep_partners(db: Session, partners: Sequence[PartnerNow], now: datetime) -> None:
    """Copy partners; open the wallets they pay by, close those of partners that no longer do.

    A wallet opens when any version said so, even one that a newer version has overtaken: whoever was told
    of it may have asked for credits since.
    """
    copies = [{name: getattr(partner, name) for name in PartnerNow.__slots__} for partner in partners]
    changed = set(await upsert_newer(db, rows.Partner, copies))
    wanted = {p.id for p in partners if p.wallet and p.status == "active"}
    if wanted:
        opened = await rows.open_wallets(db, wanted, now)
        arrived(db, *(f"wallet/{id_}" for id_ in opened))
        changed.update(opened)  # an older version may open what a newer one has closed
    if changed:
        await rows.switch_wallets(db, changed)


async def is_partner(db: Session, partner_id: UUID) -> bool:
    """Whether the caller may see a partner with this id."""
    return await db.get(rows.Partner, partner_id) is not None


async def invoicing_of_partners(db: Session, ids: Iterable[UUID]) -> dict[UUID, dict[str, Any]]:
    """What the partners' own invoices must carry, as last heard."""
    query = select(rows.Partner.id, rows.Partner.invoicing).where(rows.Partner.id.in_(set(ids)))
    return dict(iter(await db.execute(query)))


# What enrollments ask -----------------------------------------------------------------------------

_FACTS: Mapping[Answer, type[EnrollmentCredits]] = {
    Answer.HELD: CreditsHeld,
    Answer.CHARGED: CreditsCharged,
    Answer.REFUSED: CreditsRefused,
    Answer.RELEASED: CreditsReleased,
    Answer.REFUNDED: CreditsRefunded,
}


async def settle(db: Session, steps: Sequence[Step], now: datetime) -> set[int]:
    """Decide steps one after the other, announce the answers, and say which must wait for their wallet.

    The wallets are locked first, once each, so the number of statements does not depend on how many
    steps there are. Returns the positions in `steps` of holds and charges whose wallet does not exist yet.
    """
    if not steps:
        return set()
    books = await rows.lock_books(db, {step.partner_id for step in steps})
    episodes = {book.partner_id: book.episode for book in books.values()}
    charges = await rows.read_charges(db, {step.enrollment_id for step in steps})
    await rows.read_lots(db, books, charges.values())

    waiting: set[int] = set()
    decided: dict[UUID, Charge] = {}
    facts: list[EnrollmentCredits] = []
    for position, step in enumerate(steps):
        charge = charges.get(step.enrollment_id)
        if charge is None:
            if step.ask in (Ask.HOLD, Ask.CHARGE) and step.partner_id not in books:
                waiting.add(position)
                continue
            charge = charges[step.enrollment_id] = Charge(step.enrollment_id, step.partner_id)
        before = charge.state
        book = books.get(charge.partner_id)
        if book:
            book.expire(now)  # before each step, as the one before may have given back to an expired lot
        answer = decide(book, charge, step)
        if charge.state is not before:
            decided[charge.enrollment_id] = charge
        if answer:
            facts.append(_fact(answer, charge, now))
    outbox.add(db, *facts)
    # A refusal moves no credits; the price that its episode waits for may be another one all the same.
    moved = [book for book in books.values() if book.entries or book.episode != episodes[book.partner_id]]
    await _tell(db, moved, now)
    if moved:
        await rows.write_books(db, moved, now)
    await rows.write_charges(db, decided.values(), now)
    return waiting


def _fact(answer: Answer, charge: Charge, now: datetime) -> EnrollmentCredits:
    more: dict[str, Any] = {}
    credits = charge.credits
    if answer is Answer.REFUSED:
        more = {"reason": charge.refusal}
    if answer is Answer.REFUNDED:
        credits = charge.refunded
        more = {"kept": charge.captured - charge.refunded}
    return _FACTS[answer](
        version=charge.version,
        at=now,
        enrollment_id=charge.enrollment_id,
        partner_id=charge.partner_id,
        credits=credits,
        available=charge.available,
        **more,
    )


async def _tell(db: Session, books: Sequence[Book], now: datetime) -> None:
    """Announce the turns of these wallets, and mail those who must know."""
    turned = {book.partner_id: book for book in books if book.turns}
    if not turned:
        return
    for book in turned.values():
        for turn in book.turns:
            if turn.news is News.LOW:
                continue
            book.version += 1
            outbox.add(db, _wallet_fact(book, turn, now))
    partners = {
        partner.id: partner for partner in await db.scalars(select(rows.Partner).where(rows.Partner.id.in_(turned)))
    }
    admins = await emails_of(db, Role.PARTNER_ADMIN, turned)
    letters = []
    for partner_id, book in turned.items():
        partner = partners[partner_id]
        for turn in book.turns:
            if turn.news is News.REPLENISHED:
                continue
            event = f"credits.{turn.news}/{turn.number}"
            for to, language in [
                (platform().platform_email, "en"),
                *((to, partner.language) for to in admins.get(partner_id, [])),
            ]:
                subject, text = mails.write(turn, partner.name, language, book.alert.threshold)
                letters.append(mail.Mail(to, subject, text, f"wallet/{partner_id}", event))
    await mail.send_many(db, letters)


def _wallet_fact(book: Book, turn: Turn, now: datetime) -> CreditsDepleted | CreditsReplenished:
    common = {"version": book.version, "at": now, "partner_id": book.partner_id, "episode": turn.number}
    if turn.news is News.REPLENISHED:
        return CreditsReplenished(available=turn.available, **common)
    return CreditsDepleted(available=turn.available, refused_price=turn.refused_price, **common)


# What staff do ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TopUp:
    """Credits to add, what was paid for them, and until when they can be spent."""

    credits: int
    reason: str
    price: tuple[int, str] | None = None
    """Minor units and currency."""
    expires_at: datetime | None = None


async def top_up(db: Session, partner_id: UUID, asked: TopUp, actor: str, now: datetime) -> tuple[UUID, Book]:
    """Add credits as a new lot. Returns the transaction's id and the wallet after it."""
    if asked.expires_at and asked.expires_at <= now:
        raise AlreadyExpired(asked.expires_at.isoformat(), field="expires_at")
    book = await _book(db, partner_id, now)
    if not book.open:
        raise WalletClosed(partner_id)
    id_ = uuid7()
    await _add_lot(db, partner_id, id_, asked, now)
    book.top_up(Lot(id_, asked.credits, asked.expires_at), actor, asked.reason)
    book.version += 1
    outbox.add(
        db,
        CreditsToppedUp(
            version=book.version,
            at=now,
            partner_id=partner_id,
            available=book.available,
            credits=asked.credits,
            transaction_id=id_,
            expires_at=asked.expires_at,
        ),
    )
    await _keep(db, book, now)
    await _record(db, actor, "wallet.topped_up", book, id_, asked.credits, asked.reason)
    return id_, book


async def deduct(
    db: Session, partner_id: UUID, credits: int, reason: str, actor: str, now: datetime
) -> tuple[UUID, Book]:
    """Take credits back, at most what is available. Returns the transaction's id and the wallet after it."""
    book = await _book(db, partner_id, now)
    _covered(book, credits)
    id_ = uuid7()
    book.deduct(id_, credits, actor, reason)
    await _keep(db, book, now)
    await _record(db, actor, "wallet.deducted", book, id_, credits, reason)
    return id_, book


async def correct(
    db: Session, partner_id: UUID, credits: int, reason: str, actor: str, now: datetime
) -> tuple[UUID, Book]:
    """Put a mistake right, upwards or (negative) downwards by at most what is available."""
    book = await _book(db, partner_id, now)
    _covered(book, -credits)
    id_ = uuid7()
    if credits > 0:
        await _add_lot(db, partner_id, id_, TopUp(credits, reason), now)
    book.correct(id_, credits, actor, reason)
    await _keep(db, book, now)
    await _record(db, actor, "wallet.corrected", book, id_, credits, reason)
    return id_, book


async def set_warning(db: Session, partner_id: UUID, threshold: int | None, actor: str, now: datetime) -> None:
    """Mail when the wallet falls below `threshold`; None: never."""
    book = await _book(db, partner_id, now)
    if threshold == book.alert.threshold:
        return
    book.alert = Alert(threshold, book.alert.number)
    await _keep(db, book, now)
    await audit.record(db, actor, "wallet.warning_set", subject=f"wallet/{partner_id}", detail={"threshold": threshold})


def _covered(book: Book, credits: int) -> None:
    if credits > book.available:
        raise DeductionTooLarge(
            f"available {book.available}, asked {credits}",
            field="credits",
            available=book.available,
            held=book.held,
        )


async def _book(db: Session, partner_id: UUID, now: datetime) -> Book:
    """The wallet, locked, with its lots; those that have expired are written off."""
    book = (await rows.lock_books(db, [partner_id])).get(partner_id)
    if book is None:
        raise WalletNotFound(partner_id)
    await rows.read_lots(db, {partner_id: book}, ())
    book.expire(now)
    return book


async def _add_lot(db: Session, partner_id: UUID, id_: UUID, asked: TopUp, now: datetime) -> None:
    amount, currency = asked.price or (None, None)
    await db.execute(
        insert(rows.LotRow).values(
            id=id_,
            partner_id=partner_id,
            credits=asked.credits,
            remaining=asked.credits,
            expires_at=asked.expires_at,
            price_amount=amount,
            price_currency=currency,
            at=now,
        )
    )


async def _keep(db: Session, book: Book, now: datetime) -> None:
    await _tell(db, [book], now)
    await rows.write_books(db, [book], now)


async def _record(db: Session, actor: str, action: str, book: Book, id_: UUID, credits: int, reason: str) -> None:
    detail = {"transaction_id": str(id_), "credits": credits, "available": book.available, "reason": reason}
    await audit.record(db, actor, action, subject=f"wallet/{book.partner_id}", detail=detail)


# What people look at ------------------------------------------------------------------------------


def wallets(depleted: bool | None = None) -> Select[Wallet]:
    """Every wallet the caller may see; only those that are depleted, or are not."""
    return select(Wallet) if depleted is None else select(Wallet).where(Wallet.depleted == depleted)


async def find_wallet(db: Session, partner_id: UUID) -> Wallet:
    """One wallet."""
    wallet = await db.get(Wallet, partner_id)
    if wallet is None:
        raise WalletNotFound(partner_id)
    return wallet


def entries(partner_id: UUID, account: Account | None) -> Select[rows.EntryRow]:
    """The history of a wallet's own accounts, or of one account."""
    accounts = [account] if account else [Account.AVAILABLE, Account.HELD]
    return select(rows.EntryRow).where(rows.EntryRow.partner_id == partner_id, rows.EntryRow.account.in_(accounts))


def lots(partner_id: UUID) -> Select[rows.LotRow]:
    """What came into a wallet, and how much of each is left to spend."""
    return select(rows.LotRow).where(rows.LotRow.partner_id == partner_id)


@dataclass(frozen=True, slots=True)
class Check:
    """The ledger as a whole: each account's sum over all wallets, and what does not agree."""

    accounts: dict[str, int]
    entries: int
    faults: list[tuple[UUID, str]]

    @property
    def total(self) -> int:
        """Zero, or credits came from nowhere."""
        return sum(self.accounts.values())


async def check_ledger(db: Session) -> Check:
    """Add up the whole ledger and compare it with the wallets, their lots and their charges."""
    sums = await rows.sum_accounts(db)
    accounts = {str(account): 0 for account in Account} | {account: credits for account, credits, _ in sums}
    return Check(accounts, sum(count for _, _, count in sums), await rows.find_faults(db))
