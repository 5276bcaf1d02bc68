"""What may happen to a wallet's credits. Values in, values out: no clock, no database.

A `Book` is one wallet in memory while its steps are decided one after the other. What it wrote down
meanwhile is stored as it stands afterwards, all of it or nothing.
"""

from bisect import insort
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID, uuid5

CREDITS_MAX = 10**9
"""The most credits that one price, top-up, deduction or correction may have."""

NEVER = datetime.max.replace(tzinfo=UTC)


class Account(StrEnum):
    """The accounts of one wallet. Only `issuing` may be negative: it is where credits come from."""

    AVAILABLE = "available"
    HELD = "held"
    SPENT = "spent"
    ISSUING = "issuing"


class Kind(StrEnum):
    """Why credits move (BIL-1)."""

    TOP_UP = "top_up"
    DEDUCTION = "deduction"
    HOLD = "hold"
    CAPTURE = "capture"
    RELEASE = "release"
    REFUND = "refund"
    EXPIRY = "expiry"
    CORRECTION = "correction"


class Entry(NamedTuple):
    """One line of the ledger. The lines of one cause and kind are a transaction and sum to zero."""

    number: int
    """Counts the wallet's entries from 1, without gaps."""
    cause_id: UUID
    """The enrollment, top-up, deduction or correction that made credits move."""
    kind: Kind
    account: Account
    credits: int
    balance_after: int
    actor: str
    reason: str


# Lots ---------------------------------------------------------------------------------------------


@dataclass(slots=True)
class Lot:
    """Credits that came in together; what is left of them."""

    id: UUID
    remaining: int
    expires_at: datetime | None = None

    def place(self) -> tuple[datetime, UUID]:
        """Its place in the order of spending: the earliest to expire first; of equals the oldest."""
        return self.expires_at or NEVER, self.id


@dataclass(slots=True)
class Use:
    """What one cause took from one lot, and how much of it went back."""

    cause_id: UUID
    lot_id: UUID
    credits: int
    returned: int = 0


def spend(lots: list[Lot], cause_id: UUID, credits: int) -> list[tuple[Use, Lot]]:
    """Take `credits` from `lots`, which stand in their places; a lot that is used up leaves the list.

    Raises `ValueError` when the lots hold less.
    """
    taken_from = []
    while credits:
        if not lots:
            raise ValueError(f"the lots hold {credits} credits too few")
        lot = lots[0]
        taken = min(credits, lot.remaining)
        lot.remaining -= taken
        credits -= taken
        taken_from.append((Use(cause_id, lot.id, taken), lot))
        if not lot.remaining:
            lots.pop(0)
    return taken_from


def give_back(uses: list[Use], credits: int) -> list[tuple[Use, int]]:
    """Share `credits` over the lots that paid: what was taken last goes back first.

    `uses` stand in the order they were taken. Raises `ValueError` for more than was taken.
    """
    shares = []
    for use in reversed(uses):
        share = min(credits, use.credits - use.returned)
        if share:
            use.returned += share
            credits -= share
            shares.append((use, share))
    if credits:
        raise ValueError(f"{credits} credits more than were taken")
    return shares


# Episodes and warnings ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Episode:
    """Whether a wallet is depleted, and for which time (BIL-3)."""

    number: int = 0
    """Counts the wallet's episodes: the open one, or the last."""
    open: bool = False
    refused_price: int | None = None
    """The last price refused in the open episode."""

    def refused(self, price: int) -> "Episode":
        """A charge or hold of `price` was refused for lack of credits."""
        return Episode(self.number if self.open else self.number + 1, True, price)

    def taken(self, available: int) -> "Episode":
        """A charge, hold, deduction or expiry left `available`."""
        return self if self.open or available else Episode(self.number + 1, True)

    def added(self, available: int) -> "Episode":
        """A top-up, refund, release or correction left `available`."""
        ended = self.open and available > 0 and available >= (self.refused_price or 0)
        return Episode(self.number) if ended else self


@dataclass(frozen=True, slots=True)
class Alert:
    """A threshold that is told about once each time the wallet falls below it."""

    threshold: int | None = None
    number: int = 0
    """Counts the warnings given."""
    given: bool = False

    def seen(self, available: int) -> "Alert":
        """The wallet now has `available`. An empty wallet is depleted, which is told by itself."""
        if self.threshold is None:
            return self
        if available >= self.threshold:
            return Alert(self.threshold, self.number)
        if self.given or not available:
            return Alert(self.threshold, self.number, True)
        return Alert(self.threshold, self.number + 1, True)


class News(StrEnum):
    """What a whole wallet has to tell."""

    DEPLETED = "depleted"
    REPLENISHED = "replenished"
    LOW = "low"


class Turn(NamedTuple):
    """An episode began or ended, or a warning is due."""

    news: News
    number: int
    """Of the episode, or of the warning."""
    available: int
    refused_price: int | None = None


# The book -----------------------------------------------------------------------------------------


@dataclass(slots=True)
class Book:
    """One wallet: its accounts, its lots, and what was written down since it was opened for reading."""

    partner_id: UUID
    open: bool = True
    """A closed wallet takes no new holds and charges; what already runs is settled."""
    available: int = 0
    held: int = 0
    spent: int = 0
    issuing: int = 0
    last_number: int = 0
    episode: Episode = Episode()
    alert: Alert = Alert()
    version: int = 0
    """Counts what the wallet has told about itself."""

    lots: list[Lot] = field(default_factory=list)
    """Those with credits left, in the order they are spent in."""
    used_up: dict[UUID, Lot] = field(default_factory=dict)
    """Those without, as far as something may go back to them."""
    uses: dict[UUID, list[Use]] = field(default_factory=dict)
    """By cause, each in the order the lots were spent in."""

    entries: list[Entry] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    touched_lots: dict[UUID, Lot] = field(default_factory=dict)
    touched_uses: dict[tuple[UUID, UUID], Use] = field(default_factory=dict)

    def top_up(self, lot: Lot, actor: str, reason: str, kind: Kind = Kind.TOP_UP) -> None:
        """Add the credits of a new lot."""
        insort(self.lots, lot, key=Lot.place)
        self.touched_lots[lot.id] = lot
        self._move(kind, lot.id, Account.ISSUING, Account.AVAILABLE, lot.remaining, actor, reason)
        self._added()

    def deduct(self, cause_id: UUID, credits: int, actor: str, reason: str) -> None:
        """Take credits back; the caller has seen that they are available."""
        self._spend(cause_id, credits)
        self._move(Kind.DEDUCTION, cause_id, Account.AVAILABLE, Account.ISSUING, credits, actor, reason)
        self._taken()

    def correct(self, cause_id: UUID, credits: int, actor: str, reason: str) -> None:
        """Put a mistake right: more credits, as a lot that never expires, or (negative) fewer."""
        if credits > 0:
            self.top_up(Lot(cause_id, credits), actor, reason, Kind.CORRECTION)
        else:
            self._spend(cause_id, -credits)
            self._move(Kind.CORRECTION, cause_id, Account.AVAILABLE, Account.ISSUING, -credits, actor, reason)
            self._warn()

    def expire(self, now: datetime) -> None:
        """Write off what is left of the lots that have expired; comes before whatever is decided at `now`."""
        while self.lots and self.lots[0].place()[0] <= now:
            lot = self.lots.pop(0)
            credits, lot.remaining = lot.remaining, 0
            self.used_up[lot.id] = self.touched_lots[lot.id] = lot
            # What goes back to an expired lot expires again, so each time is a cause of its own.
            cause_id = uuid5(lot.id, str(self.last_number))
            why = f"lot {lot.id} expired"
            self._move(Kind.EXPIRY, cause_id, Account.AVAILABLE, Account.ISSUING, credits, "system:expiry", why)
            self._taken()

    def hold(self, cause_id: UUID, credits: int, actor: str, reason: str) -> None:
        """Set credits aside until a request is decided."""
        self._spend(cause_id, credits)
        self._move(Kind.HOLD, cause_id, Account.AVAILABLE, Account.HELD, credits, actor, reason)
        self._taken()

    def capture(self, cause_id: UUID, credits: int, actor: str, reason: str) -> None:
        """Take for good what was held."""
        self._move(Kind.CAPTURE, cause_id, Account.HELD, Account.SPENT, credits, actor, reason)

    def charge(self, cause_id: UUID, credits: int, actor: str, reason: str) -> None:
        """Take for good where nothing was held: a capture straight from available."""
        self._spend(cause_id, credits)
        self._move(Kind.CAPTURE, cause_id, Account.AVAILABLE, Account.SPENT, credits, actor, reason)
        self._taken()

    def release(self, cause_id: UUID, credits: int, actor: str, reason: str) -> None:
        """Give a hold back."""
        self._return(cause_id, credits)
        self._move(Kind.RELEASE, cause_id, Account.HELD, Account.AVAILABLE, credits, actor, reason)
        self._added()

    def refund(self, cause_id: UUID, credits: int, actor: str, reason: str) -> None:
        """Give a charge back, or part of it."""
        self._return(cause_id, credits)
        self._move(Kind.REFUND, cause_id, Account.SPENT, Account.AVAILABLE, credits, actor, reason)
        self._added()

    def refuse(self, price: int) -> None:
        """A price was not covered; nothing moves."""
        self._turn(self.episode.refused(price))

    def _move(
        self, kind: Kind, cause_id: UUID, source: Account, target: Account, credits: int, actor: str, why: str
    ) -> None:
        left = getattr(self, source) - credits
        there = getattr(self, target) + credits
        setattr(self, source, left)
        setattr(self, target, there)
        number = self.last_number
        self.last_number = number + 2
        self.entries.append(Entry(number + 1, cause_id, kind, source, -credits, left, actor, why))
        self.entries.append(Entry(number + 2, cause_id, kind, target, credits, there, actor, why))

    def _spend(self, cause_id: UUID, credits: int) -> None:
        taken_from = spend(self.lots, cause_id, credits)
        self.uses[cause_id] = [use for use, _ in taken_from]
        for use, lot in taken_from:
            self.touched_uses[cause_id, lot.id] = use
            self.touched_lots[lot.id] = lot
            if not lot.remaining:
                self.used_up[lot.id] = lot

    def _return(self, cause_id: UUID, credits: int) -> None:
        for use, share in give_back(self.uses[cause_id], credits):
            lot = self.used_up.pop(use.lot_id, None)
            if lot is None:
                lot = next(lot for lot in self.lots if lot.id == use.lot_id)
            else:
                insort(self.lots, lot, key=Lot.place)
            lot.remaining += share
            self.touched_lots[lot.id] = lot
            self.touched_uses[cause_id, lot.id] = use

    def _taken(self) -> None:
        self._turn(self.episode.taken(self.available))
        self._warn()

    def _added(self) -> None:
        self._turn(self.episode.added(self.available))
        self._warn()

    def _turn(self, episode: Episode) -> None:
        if episode.open != self.episode.open:
            news = News.DEPLETED if episode.open else News.REPLENISHED
            self.turns.append(Turn(news, episode.number, self.available, episode.refused_price))
        self.episode = episode

    def _warn(self) -> None:
        alert = self.alert.seen(self.available)
        if alert.number != self.alert.number:
            self.turns.append(Turn(News.LOW, alert.number, self.available))
        self.alert = alert


# Steps of enrollments -----------------------------------------------------------------------------


class State(StrEnum):
    """Where an enrollment stands with its credits; it only moves forward."""

    NEW = "new"
    """Nothing is known yet; never stored."""
    HELD = "held"
    CHARGED = "charged"
    REFUSED = "refused"
    RELEASED = "released"
    """The hold was given back."""
    CANCELLED = "cancelled"
    """Charged, then cancelled: all, a part or nothing went back."""
    CLOSED = "closed"
    """It ended before anything was asked of the wallet."""


class Ask(StrEnum):
    """What a step of an enrollment asks of the wallet."""

    HOLD = "hold"
    CHARGE = "charge"
    END = "end"
    """It came to nothing: all goes back."""
    CANCEL = "cancel"
    """It was given up after approval: the share the step names goes back."""


class Step(NamedTuple):
    """One step of one enrollment."""

    ask: Ask
    enrollment_id: UUID
    partner_id: UUID
    credits: int
    """The price; for a cancellation what goes back."""
    actor: str
    reason: str


class Refusal(StrEnum):
    """Why a hold or charge is refused."""

    NOT_ENOUGH = "not_enough_credits"
    WALLET_CLOSED = "wallet_closed"


@dataclass(slots=True)
class Charge:
    """One enrollment's credits: the decision, kept so that it can be told again."""

    enrollment_id: UUID
    partner_id: UUID
    state: State = State.NEW
    version: int = 0
    """Counts the answers given."""
    credits: int = 0
    """The price."""
    captured: int = 0
    refunded: int = 0
    available: int = 0
    """What the wallet could still spend when the last answer was given."""
    refusal: str | None = None


class Answer(StrEnum):
    """What is told about one enrollment's credits."""

    HELD = "held"
    CHARGED = "charged"
    REFUSED = "refused"
    RELEASED = "released"
    REFUNDED = "refunded"


def decide(book: Book | None, charge: Charge, step: Step) -> Answer | None:
    """Move one enrollment forward, if the step still can, and say what to tell about it.

    The enrollment is looked at before the balance (BIL-2), so a step that comes again is answered as it
    was the first time. A step that a later one has overtaken is answered by nothing. Without a wallet
    (`book` is None) only an end can be decided, of an enrollment that never asked for anything.
    """
    match step.ask, charge.state:
        case ((Ask.HOLD | Ask.CHARGE), State.NEW):
            return _ask(_there(book), charge, step)
        case Ask.CHARGE, State.HELD:
            _there(book).capture(step.enrollment_id, charge.credits, step.actor, step.reason)
            charge.captured = charge.credits
            return _answer(_there(book), charge, State.CHARGED, Answer.CHARGED)
        case ((Ask.END | Ask.CANCEL), State.NEW):
            charge.state = State.CLOSED
            return None
        case ((Ask.END | Ask.CANCEL), State.HELD):
            _there(book).release(step.enrollment_id, charge.credits, step.actor, step.reason)
            return _answer(_there(book), charge, State.RELEASED, Answer.RELEASED)
        case ((Ask.END | Ask.CANCEL), State.CHARGED):
            return _cancel(_there(book), charge, step)
    return _again(charge, step)


def _ask(book: Book, charge: Charge, step: Step) -> Answer:
    charge.credits = step.credits
    if not book.open:
        charge.refusal = Refusal.WALLET_CLOSED
        return _answer(book, charge, State.REFUSED, Answer.REFUSED)
    if step.credits > book.available:
        charge.refusal = Refusal.NOT_ENOUGH
        book.refuse(step.credits)
        return _answer(book, charge, State.REFUSED, Answer.REFUSED)
    if step.ask is Ask.HOLD:
        book.hold(step.enrollment_id, step.credits, step.actor, step.reason)
        return _answer(book, charge, State.HELD, Answer.HELD)
    book.charge(step.enrollment_id, step.credits, step.actor, step.reason)
    charge.captured = step.credits
    return _answer(book, charge, State.CHARGED, Answer.CHARGED)


def _cancel(book: Book, charge: Charge, step: Step) -> Answer | None:
    back = charge.captured if step.ask is Ask.END else min(step.credits, charge.captured)
    if back:
        book.refund(step.enrollment_id, back, step.actor, step.reason)
    charge.refunded = back
    answer = _answer(book, charge, State.CANCELLED, Answer.REFUNDED)
    return answer if back else None


def _answer(book: Book, charge: Charge, state: State, answer: Answer) -> Answer:
    charge.state = state
    charge.available = book.available
    charge.version += 1
    return answer


def _again(charge: Charge, step: Step) -> Answer | None:
    """The answer already given to this very step, if no later one came after it."""
    match step.ask, charge.state:
        case Ask.HOLD, State.HELD:
            return Answer.HELD
        case Ask.CHARGE, State.CHARGED:
            return Answer.CHARGED
        case ((Ask.HOLD | Ask.CHARGE), State.REFUSED):
            return Answer.REFUSED
        case ((Ask.END | Ask.CANCEL), State.RELEASED):
            return Answer.RELEASED
        case ((Ask.END | Ask.CANCEL), State.CANCELLED):
            return Answer.REFUNDED if charge.refunded else None
    return None


def _there(book: Book | None) -> Book:
    if book is None:
        raise ValueError("the enrollment is older than its wallet")
    return book
