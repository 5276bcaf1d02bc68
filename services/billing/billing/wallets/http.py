"""Wallets over HTTP: staff fill and correct them, a partner's admins look at theirs."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

from billing.wallets import usecases
from billing.wallets.rules import CREDITS_MAX, Account, Book, Kind
from billing.wallets.usecases import (
    AlreadyExpired,
    DeductionTooLarge,
    TopUp,
    Wallet,
    WalletClosed,
    WalletNotFound,
)
from kit import clock
from kit.auth import Caller, Role, needs
from kit.http import Db, Items, Once, Page, Router, page, problems

router = Router(prefix="/v1", tags=["wallets"])

STAFF = needs(Role.ADMIN, Role.FINANCE)
READERS = needs(Role.ADMIN, Role.FINANCE, Role.PARTNER_ADMIN)

Credits = Annotated[int, Field(strict=True, gt=0, le=CREDITS_MAX, examples=[500])]
Reason = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


def _not_zero(credits: int) -> int:
    if not credits:
        raise ValueError("a correction of 0 corrects nothing")
    return credits


class Body(BaseModel):
    """A request's body; a field it does not know is refused."""

    model_config = ConfigDict(extra="forbid")


class PricePaid(Body):
    """What was paid, in the minor unit of its currency."""

    amount: int = Field(strict=True, ge=0, le=10**12)
    currency: str = Field(pattern=r"^[A-Z]{3}$", examples=["EUR"])


class TopUpIn(Body):
    """Credits to add."""

    credits: Credits
    reason: Reason = Field(examples=["Order 2026-113"])
    price_paid: PricePaid | None = None
    expires_at: AwareDatetime | None = Field(None, description="Until when they can be spent; None: always.")


class DeductionIn(Body):
    """Credits to take back."""

    credits: Credits
    reason: Reason = Field(examples=["Order 2026-113 was not paid"])


class CorrectionIn(Body):
    """Credits to add, or (negative) to take, because an earlier change was a mistake."""

    credits: Annotated[
        int, Field(strict=True, ge=-CREDITS_MAX, le=CREDITS_MAX, examples=[-5]), AfterValidator(_not_zero)
    ]
    reason: Reason


class WarningIn(Body):
    """Mail when fewer credits than this are left; null: never."""

    threshold: Credits | None


class WalletOut(BaseModel):
    """A wallet as it is now."""

    partner_id: UUID
    partner_name: str
    available: int
    held: int = Field(description="Set aside for requests that are not decided yet.")
    balance: int = Field(description="`available` + `held`.")
    depleted: bool = Field(description="A price was refused, or nothing is left, and no top-up has helped yet.")
    refused_price: int | None = Field(description="What must be available for that to end; null: anything.")
    open: bool = Field(description="Takes new holds and charges.")
    warning_threshold: int | None
    opened_at: datetime


class MovedOut(BaseModel):
    """What a top-up, deduction or correction did."""

    transaction_id: UUID
    partner_id: UUID
    credits: int
    available: int
    held: int
    balance: int
    depleted: bool


class EntryOut(BaseModel):
    """One line of a wallet's history."""

    number: int
    at: datetime
    kind: Kind
    account: Account
    credits: int
    balance_after: int
    actor: str
    reason: str
    cause_id: UUID = Field(
        description="The enrollment, top-up, deduction or correction behind it; an expiry is its own."
    )


class LotOut(BaseModel):
    """Credits that came in together."""

    lot_id: UUID = Field(description="The top-up or correction that brought them.")
    credits: int
    remaining: int = Field(description="What of them is still available.")
    expires_at: datetime | None
    at: datetime


class Fault(BaseModel):
    """A wallet that does not agree with its ledger."""

    partner_id: UUID
    fault: str


class CheckOut(BaseModel):
    """The whole ledger, added up."""

    ok: bool
    total: int = Field(description="0, or credits came from nowhere.")
    accounts: dict[str, int]
    entries: int
    faults: list[Fault]


def _wallet(wallet: Wallet) -> WalletOut:
    return WalletOut(
        partner_id=wallet.partner_id,
        partner_name=wallet.partner.name,
        available=wallet.available,
        held=wallet.held,
        balance=wallet.available + wallet.held,
        depleted=wallet.depleted,
        refused_price=wallet.refused_price,
        open=wallet.open,
        warning_threshold=wallet.warning_threshold,
        opened_at=wallet.opened_at,
    )


def _moved(id_: UUID, book: Book, credits: int) -> MovedOut:
    return MovedOut(
        transaction_id=id_,
        partner_id=book.partner_id,
        credits=credits,
        available=book.available,
        held=book.held,
        balance=book.available + book.held,
        depleted=book.episode.open,
    )


@router.get("/wallets", dependencies=[READERS])
async def get_wallets(db: Db, window: Page, depleted: bool | None = None) -> Items[WalletOut]:
    """Every wallet you may see: all of them for staff, its own for a partner."""
    query = usecases.wallets(depleted)
    return await page(db, query, [query.selected_columns.partner_id], window, _wallet)


@router.get("/wallets/{partner_id}", dependencies=[READERS], responses=problems(WalletNotFound))
async def get_wallet(partner_id: UUID, db: Db) -> WalletOut:
    """One wallet as it is now."""
    return _wallet(await usecases.find_wallet(db, partner_id))


@router.get("/wallets/{partner_id}/entries", dependencies=[READERS], responses=problems(WalletNotFound))
async def get_entries(partner_id: UUID, db: Db, window: Page, account: Account | None = None) -> Items[EntryOut]:
    """The wallet's history, newest first: every change of what is available and what is held."""
    await usecases.find_wallet(db, partner_id)
    query = usecases.entries(partner_id, account)
    return await page(
        db,
        query,
        [query.selected_columns.number.desc()],
        window,
        lambda row: EntryOut.model_validate(row, from_attributes=True),
    )


@router.get("/wallets/{partner_id}/lots", dependencies=[READERS], responses=problems(WalletNotFound))
async def get_lots(partner_id: UUID, db: Db, window: Page) -> Items[LotOut]:
    """What came into the wallet, newest first, with what is left of each and until when."""
    await usecases.find_wallet(db, partner_id)
    query = usecases.lots(partner_id)

    def out(lot: Any) -> LotOut:
        return LotOut(
            lot_id=lot.id,
            credits=lot.credits,
            remaining=lot.remaining,
            expires_at=lot.expires_at,
            at=lot.at,
        )

    return await page(db, query, [query.selected_columns.id.desc()], window, out)


@router.post(
    "/wallets/{partner_id}/top-ups",
    status_code=201,
    dependencies=[STAFF],
    responses=problems(WalletNotFound, WalletClosed, AlreadyExpired),
)
async def post_top_up(partner_id: UUID, body: TopUpIn, caller: Caller, db: Db, once: Once) -> MovedOut:
    """Add credits (BIL-4)."""
    price = (body.price_paid.amount, body.price_paid.currency) if body.price_paid else None
    asked = TopUp(body.credits, body.reason, price, body.expires_at)
    id_, book = await usecases.top_up(db, partner_id, asked, caller.actor, clock.now())
    return _moved(id_, book, body.credits)


@router.post(
    "/wallets/{partner_id}/deductions",
    status_code=201,
    dependencies=[STAFF],
    responses=problems(WalletNotFound, DeductionTooLarge),
)
async def post_deduction(partner_id: UUID, body: DeductionIn, caller: Caller, db: Db, once: Once) -> MovedOut:
    """Take credits back, at most what is available (BIL-4)."""
    id_, book = await usecases.deduct(db, partner_id, body.credits, body.reason, caller.actor, clock.now())
    return _moved(id_, book, -body.credits)


@router.post(
    "/wallets/{partner_id}/corrections",
    status_code=201,
    dependencies=[STAFF],
    responses=problems(WalletNotFound, DeductionTooLarge),
)
async def post_correction(partner_id: UUID, body: CorrectionIn, caller: Caller, db: Db, once: Once) -> MovedOut:
    """Put an earlier mistake right; the entries it concerns stay as they are."""
    id_, book = await usecases.correct(db, partner_id, body.credits, body.reason, caller.actor, clock.now())
    return _moved(id_, book, body.credits)


@router.put("/wallets/{partner_id}/warning", dependencies=[STAFF], responses=problems(WalletNotFound))
async def put_warning(partner_id: UUID, body: WarningIn, caller: Caller, db: Db) -> WalletOut:
    """Have the platform and the partner's admins mailed when the wallet falls below a threshold (BIL-3)."""
    await usecases.set_warning(db, partner_id, body.threshold, caller.actor, clock.now())
    return _wallet(await usecases.find_wallet(db, partner_id))


@router.get("/ledger/check", dependencies=[STAFF])
async def get_ledger_check(db: Db) -> CheckOut:
    """Add up the whole ledger and compare it with every wallet, its lots and its charges."""
    check = await usecases.check_ledger(db)
    return CheckOut(
        ok=check.total == 0 and not check.faults,
        total=check.total,
        accounts=check.accounts,
        entries=check.entries,
        faults=[Fault(partner_id=partner_id, fault=fault) for partner_id, fault in check.faults],
    )
