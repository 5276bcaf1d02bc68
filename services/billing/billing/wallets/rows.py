"""How wallets are stored, read and locked, and how a batch of decisions is written with a few statements."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import BigInteger, DateTime, Text, Uuid, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Mapped, foreign, mapped_column, relationship

from billing.wallets.rules import Alert, Book, Charge, Episode, Lot, State, Use
from kit.db import Base, Session


class Partner(Base):
    """What billing keeps of a partner: the newest `partner.changed`."""

    __tablename__ = "partners"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    version: Mapped[int]
    name: Mapped[str]
    status: Mapped[str]
    wallet: Mapped[bool]
    language: Mapped[str]
    invoicing: Mapped[dict[str, Any]] = mapped_column(JSONB)


class Wallet(Base):
    """One partner's wallet: its accounts' balances, and where its episodes stand."""

    __tablename__ = "wallets"

    partner_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    open: Mapped[bool] = mapped_column(default=True)
    version: Mapped[int] = mapped_column(BigInteger)
    available: Mapped[int] = mapped_column(BigInteger)
    held: Mapped[int] = mapped_column(BigInteger)
    spent: Mapped[int] = mapped_column(BigInteger)
    issuing: Mapped[int] = mapped_column(BigInteger)
    last_number: Mapped[int] = mapped_column(BigInteger)
    episode: Mapped[int]
    depleted: Mapped[bool]
    refused_price: Mapped[int | None] = mapped_column(BigInteger)
    warning_threshold: Mapped[int | None] = mapped_column(BigInteger)
    warnings: Mapped[int]
    warned: Mapped[bool]
    opened_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    partner: Mapped[Partner] = relationship(
        Partner, primaryjoin=lambda: foreign(Wallet.partner_id) == Partner.id, lazy="joined", viewonly=True
    )


class EntryRow(Base):
    """One line of the ledger; the database refuses to change or remove it."""

    __tablename__ = "entries"

    partner_id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    cause_id: Mapped[UUID] = mapped_column(Uuid)
    kind: Mapped[str] = mapped_column(Text)
    account: Mapped[str] = mapped_column(Text)
    credits: Mapped[int] = mapped_column(BigInteger)
    balance_after: Mapped[int] = mapped_column(BigInteger)
    actor: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


class LotRow(Base):
    """Credits that came in together, what was paid for them, and what is left."""

    __tablename__ = "lots"

    id: Mapped[UUID] = mapped_column(Uuid, primary_key=True)
    partner_id: Mapped[UUID] = mapped_column(Uuid)
    credits: Mapped[int] = mapped_column(BigInteger)
    remaining: Mapped[int] = mapped_column(BigInteger)
    expires_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True))
    price_amount: Mapped[int | None] = mapped_column(BigInteger)
    price_currency: Mapped[str | None] = mapped_column(Text)
    at: Mapped[datetime] = mapped_column(DateTime(timezone=True))


# Reading ------------------------------------------------------------------------------------------

_LOCK = text(
    "select partner_id, open, version, available, held, spent, issuing, last_number,"
    " episode, depleted, refused_price, warning_threshold, warnings, warned"
    " from wallets where partner_id = any(cast(:ids as uuid[])) order by partner_id for update"
)
_CHARGES = text(
    "select enrollment_id, partner_id, state, version, credits, captured, refunded, available, refusal"
    " from charges where enrollment_id = any(cast(:ids as uuid[]))"
)
_USES = text("select cause_id, lot_id, credits, returned from lot_uses where cause_id = any(cast(:ids as uuid[]))")
_LOTS = text(
    "select id, partner_id, remaining, expires_at from lots"
    " where partner_id = any(cast(:partners as uuid[])) and remaining > 0"
    " union select id, partner_id, remaining, expires_at from lots where id = any(cast(:used as uuid[]))"
)


async def lock_books(db: Session, partner_ids: Iterable[UUID]) -> dict[UUID, Book]:
    """The wallets that exist, locked in the order of their ids to the end of the transaction, without lots."""
    rows = await db.execute(_LOCK, {"ids": sorted(set(partner_ids))})
    return {
        row.partner_id: Book(
            row.partner_id,
            open=row.open,
            version=row.version,
            available=row.available,
            held=row.held,
            spent=row.spent,
            issuing=row.issuing,
            last_number=row.last_number,
            episode=Episode(row.episode, row.depleted, row.refused_price),
            alert=Alert(row.warning_threshold, row.warnings, row.warned),
        )
        for row in rows
    }


async def read_charges(db: Session, enrollment_ids: Iterable[UUID]) -> dict[UUID, Charge]:
    """What is known of these enrollments. Locked by their wallets."""
    rows = await db.execute(_CHARGES, {"ids": list(enrollment_ids)})
    return {row[0]: Charge(row[0], row[1], State(row[2]), *row[3:]) for row in rows}


async def read_lots(db: Session, books: dict[UUID, Book], charges: Iterable[Charge]) -> None:
    """Put into the books the lots they can spend, and those that a hold or charge may go back to."""
    running = {c.enrollment_id: c.partner_id for c in charges if c.state in (State.HELD, State.CHARGED)}
    uses: list[Use] = []
    if running:
        uses = [Use(*row) for row in await db.execute(_USES, {"ids": list(running)})]
    used = list({use.lot_id for use in uses})
    lots: dict[UUID, Lot] = {}
    for id_, partner_id, remaining, expires_at in await db.execute(_LOTS, {"partners": list(books), "used": used}):
        lots[id_] = lot = Lot(id_, remaining, expires_at)
        if remaining:
            books[partner_id].lots.append(lot)
        else:
            books[partner_id].used_up[id_] = lot
    for book in books.values():
        book.lots.sort(key=Lot.place)
    for use in sorted(uses, key=lambda use: lots[use.lot_id].place()):
        books[running[use.cause_id]].uses.setdefault(use.cause_id, []).append(use)


# Writing ------------------------------------------------------------------------------------------

_WALLETS = text(
    "update wallets w set version = n.version, available = n.available, held = n.held, spent = n.spent,"
    " issuing = n.issuing, last_number = n.last_number, episode = n.episode, depleted = n.depleted,"
    " refused_price = n.refused_price, warning_threshold = n.warning_threshold, warnings = n.warnings,"
    " warned = n.warned"
    " from unnest(cast(:partner_id as uuid[]), cast(:version as bigint[]), cast(:available as bigint[]),"
    " cast(:held as bigint[]), cast(:spent as bigint[]), cast(:issuing as bigint[]),"
    " cast(:last_number as bigint[]), cast(:episode as integer[]), cast(:depleted as boolean[]),"
    " cast(:refused_price as bigint[]), cast(:warning_threshold as bigint[]), cast(:warnings as integer[]),"
    " cast(:warned as boolean[]))"
    " as n (partner_id, version, available, held, spent, issuing, last_number, episode, depleted,"
    " refused_price, warning_threshold, warnings, warned)"
    " where w.partner_id = n.partner_id"
)
_ENTRIES = text(
    "insert into entries"
    " (partner_id, number, cause_id, kind, account, credits, balance_after, actor, reason, at)"
    " select *, cast(:at as timestamptz)"
    " from unnest(cast(:partner_id as uuid[]), cast(:number as bigint[]), cast(:cause_id as uuid[]),"
    " cast(:kind as text[]), cast(:account as text[]), cast(:credits as bigint[]),"
    " cast(:balance_after as bigint[]), cast(:actor as text[]), cast(:reason as text[]))"
)
_REMAINING = text(
    "update lots l set remaining = n.remaining"
    " from unnest(cast(:id as uuid[]), cast(:remaining as bigint[])) as n (id, remaining) where l.id = n.id"
)
_LOT_USES = text(
    "insert into lot_uses (cause_id, lot_id, partner_id, credits, returned)"
    " select * from unnest(cast(:cause_id as uuid[]), cast(:lot_id as uuid[]), cast(:partner_id as uuid[]),"
    " cast(:credits as bigint[]), cast(:returned as bigint[]))"
    " on conflict (cause_id, lot_id) do update set returned = excluded.returned"
)
_DECIDED = text(
    "insert into charges"
    " (enrollment_id, partner_id, state, version, credits, captured, refunded, available, refusal, decided_at)"
    " select *, cast(:at as timestamptz)"
    " from unnest(cast(:enrollment_id as uuid[]), cast(:partner_id as uuid[]), cast(:state as text[]),"
    " cast(:version as integer[]), cast(:credits as bigint[]), cast(:captured as bigint[]),"
    " cast(:refunded as bigint[]), cast(:available as bigint[]), cast(:refusal as text[]))"
    " on conflict (enrollment_id) do update set state = excluded.state, version = excluded.version,"
    " credits = excluded.credits, captured = excluded.captured, refunded = excluded.refunded,"
    " available = excluded.available, refusal = excluded.refusal, decided_at = excluded.decided_at"
)


async def write_books(db: Session, books: Iterable[Book], at: datetime) -> None:
    """Store what was written down in the books: at most four statements, however much it is."""
    books = list(books)
    entries = [(book.partner_id, *entry) for book in books for entry in book.entries]
    if entries:
        columns = ("partner_id", "number", "cause_id", "kind", "account", "credits", "balance_after")
        await db.execute(_ENTRIES, _transposed((*columns, "actor", "reason"), entries) | {"at": at})
    lots = [(lot.id, lot.remaining) for book in books for lot in book.touched_lots.values()]
    if lots:
        await db.execute(_REMAINING, _transposed(("id", "remaining"), lots))
    uses = [
        (use.cause_id, use.lot_id, book.partner_id, use.credits, use.returned)
        for book in books
        for use in book.touched_uses.values()
    ]
    if uses:
        names = ("cause_id", "lot_id", "partner_id", "credits", "returned")
        await db.execute(_LOT_USES, _transposed(names, uses))
    await db.execute(_WALLETS, _transposed(_WALLET_COLUMNS, [_wallet(book) for book in books]))


async def write_charges(db: Session, charges: Iterable[Charge], at: datetime) -> None:
    """Store what was decided, with one statement."""
    rows = [tuple(getattr(charge, name) for name in Charge.__slots__) for charge in charges]
    if rows:
        await db.execute(_DECIDED, _transposed(Charge.__slots__, rows) | {"at": at})


_WALLET_COLUMNS = (
    "partner_id", "version", "available", "held", "spent", "issuing", "last_number", "episode", "depleted",
    "refused_price", "warning_threshold", "warnings", "warned",
)  # fmt: skip


def _wallet(book: Book) -> tuple[Any, ...]:
    episode, alert = book.episode, book.alert
    accounts = (book.available, book.held, book.spent, book.issuing, book.last_number)
    state = (episode.number, episode.open, episode.refused_price, alert.threshold, alert.number, alert.given)
    return (book.partner_id, book.version, *accounts, *state)


def _transposed(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> dict[str, Any]:
    """Rows as one array a column, for `unnest`."""
    return dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))


# Looking after the whole --------------------------------------------------------------------------

_SUMS = text(
    "select account, sum(credits) as credits, count(*) as entries from entries group by account order by account"
)
_FAULTS = text(
    """
    with summed as (
        select partner_id,
            coalesce(sum(credits) filter (where account = 'available'), 0) as available,
            coalesce(sum(credits) filter (where account = 'held'), 0) as held,
            coalesce(sum(credits) filter (where account = 'spent'), 0) as spent,
            coalesce(sum(credits) filter (where account = 'issuing'), 0) as issuing
        from entries group by partner_id
    ), in_lots as (
        select partner_id, sum(remaining) as remaining from lots group by partner_id
    ), charged as (
        select partner_id, coalesce(sum(credits) filter (where state = 'held'), 0) as held,
            sum(captured - refunded) as spent
        from charges group by partner_id
    )
    select w.partner_id,
        case
            when (w.available, w.held, w.spent, w.issuing) is distinct from
                (coalesce(s.available, 0), coalesce(s.held, 0), coalesce(s.spent, 0), coalesce(s.issuing, 0))
                then 'the balances are not the sums of the entries'
            when w.available <> coalesce(l.remaining, 0) then 'the lots do not hold what is available'
            else 'the charges are not what is held and spent'
        end as fault
    from wallets w
    left join summed s on s.partner_id = w.partner_id
    left join in_lots l on l.partner_id = w.partner_id
    left join charged c on c.partner_id = w.partner_id
    where (w.available, w.held, w.spent, w.issuing) is distinct from
            (coalesce(s.available, 0), coalesce(s.held, 0), coalesce(s.spent, 0), coalesce(s.issuing, 0))
        or w.available <> coalesce(l.remaining, 0)
        or (w.held, w.spent) is distinct from (coalesce(c.held, 0), coalesce(c.spent, 0))
    order by w.partner_id limit 100
    """
)


async def sum_accounts(db: Session) -> list[tuple[str, int, int]]:
    """Account, its sum over all wallets, and how many entries it has."""
    return [(row.account, int(row.credits), row.entries) for row in await db.execute(_SUMS)]


async def find_faults(db: Session) -> list[tuple[UUID, str]]:
    """Wallets that do not agree with their entries, lots or charges; at most 100."""
    return [(row.partner_id, row.fault) for row in await db.execute(_FAULTS)]


_OPEN = text(
    "insert into wallets (partner_id, opened_at) select id, cast(:at as timestamptz)"
    " from unnest(cast(:ids as uuid[])) as id on conflict (partner_id) do nothing returning partner_id"
)
_SWITCH = text(
    "update wallets w set open = p.wallet and p.status = 'active' from partners p"
    " where p.id = w.partner_id and w.partner_id = any(cast(:ids as uuid[]))"
    " and w.open is distinct from (p.wallet and p.status = 'active')"
)


async def open_wallets(db: Session, partner_ids: Iterable[UUID], at: datetime) -> list[UUID]:
    """Open the wallets that do not exist yet, empty; returns which."""
    rows = await db.execute(_OPEN, {"ids": sorted(set(partner_ids)), "at": at})
    return list(rows.scalars())


async def switch_wallets(db: Session, partner_ids: Iterable[UUID]) -> None:
    """Close or open existing wallets to new charges, as their partners now say."""
    await db.execute(_SWITCH, {"ids": sorted(set(partner_ids))})
