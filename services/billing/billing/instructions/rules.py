"""How an enrollment is invoiced: documents, amounts, terms. Values in, values out."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum

from billing.parties.rules import Organisation, Route

CUSTOMER_TERM_DAYS = 30
"""On every invoice to a customer, participant or supplier."""
PURCHASE_TERM_DAYS = 60
"""On a supplier's invoice to the platform."""
LONGEST_TERM_DAYS = 30
"""What the law allows a small seller to give a large buyer."""


class Document(StrEnum):
    """The kinds of invoice that follow from an enrollment (BIL-7)."""

    SUPPLIER_INVOICE = "supplier_invoice"
    PLATFORM_FEE = "platform_fee"
    PURCHASE = "purchase"
    SALES = "sales"


class TermTooLong(ValueError):
    """The law does not let a small seller wait longer than 30 days for a large buyer's money."""


@dataclass(frozen=True, slots=True)
class Price:
    """A frozen price (CAT-6) in minor units: price P, discount D, fee F."""

    currency: str
    price: int
    discount: int
    fee: int

    def __post_init__(self) -> None:
        if not 0 <= self.discount <= self.price or not 0 <= self.fee <= self.price:
            raise ValueError(f"price {self.price}, discount {self.discount} and fee {self.fee} do not fit")


@dataclass(frozen=True, slots=True)
class Invoice:
    """One invoice that will follow: who bills whom, how much, due when."""

    document: Document
    seller: Organisation
    buyer: Organisation
    net: int
    """Minor units of the price's currency."""
    term_days: int
    collected: str = "single"


def term(seller: Organisation, buyer: Organisation, agreed_days: int) -> int:
    """The agreed payment term, if the law allows it (BIL-6). Raises `TermTooLong`."""
    if agreed_days > LONGEST_TERM_DAYS and seller.small and not buyer.small:
        raise TermTooLong(f"{agreed_days} days from a small seller to a large buyer")
    return agreed_days


def due_on(invoiced_on: date, term_days: int) -> date:
    """The last day to pay: the term runs from the invoice date, whenever the instruction was given."""
    return invoiced_on + timedelta(days=term_days)


def amounts(route: Route, price: Price) -> dict[Document, int]:
    """What each document of a route comes to, in minor units, net of VAT (BIL-7)."""
    keeps = price.price - price.discount
    match route:
        case Route.TO_CUSTOMER:
            return {Document.SUPPLIER_INVOICE: keeps + price.fee, Document.PLATFORM_FEE: price.fee}
        case Route.TO_PLATFORM:
            return {Document.PURCHASE: keeps, Document.SALES: keeps + price.fee}
        case Route.TO_PARTICIPANT:
            return {Document.SUPPLIER_INVOICE: keeps, Document.PLATFORM_FEE: price.fee}


def invoices(
    route: Route, price: Price, supplier: Organisation | None, payer: Organisation, platform: Organisation
) -> list[Invoice]:
    """The invoices that follow from an enrollment. Raises `TermTooLong`.

    A course of the platform's own has no supplier: whatever the route, the platform bills the payer.
    """
    if supplier is None:
        net = amounts(Route.TO_PLATFORM, price)[Document.SALES]
        return [_single(Document.SALES, platform, payer, net, CUSTOMER_TERM_DAYS)]
    net_of = amounts(route, price)
    if route is Route.TO_PLATFORM:
        return [
            _single(Document.PURCHASE, supplier, platform, net_of[Document.PURCHASE], PURCHASE_TERM_DAYS),
            _single(Document.SALES, platform, payer, net_of[Document.SALES], CUSTOMER_TERM_DAYS),
        ]
    fee_term = term(platform, supplier, CUSTOMER_TERM_DAYS)
    return [
        _single(Document.SUPPLIER_INVOICE, supplier, payer, net_of[Document.SUPPLIER_INVOICE], CUSTOMER_TERM_DAYS),
        Invoice(Document.PLATFORM_FEE, platform, supplier, net_of[Document.PLATFORM_FEE], fee_term, "monthly"),
    ]


def _single(document: Document, seller: Organisation, buyer: Organisation, net: int, days: int) -> Invoice:
    return Invoice(document, seller, buyer, net, term(seller, buyer, days))


def reference(number: int) -> str:
    """The payment reference of an enrollment: ISO 11649, which every bank can check."""
    digits = f"{number:09d}"
    # R = 27, F = 15: the two letters and a 00 for the check digits, moved behind (ISO 7064, mod 97-10).
    return f"RF{98 - int(digits + '271500') % 97:02d}{digits}"


# Where an enrollment stands -----------------------------------------------------------------------


class State(StrEnum):
    """Where an enrollment stands with its instruction; it only moves forward."""

    NEW = "new"
    """Nothing is decided yet; what it needs to know has not come."""
    INSTRUCTED = "instructed"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    """Nothing is invoiced after all."""
    REDUCED = "reduced"
    """Cancelled; the part that is kept is invoiced."""
    CLOSED = "closed"
    """It ended before there was anything to instruct."""


class Ask(StrEnum):
    """What a step of an enrollment asks for."""

    INSTRUCT = "instruct"
    REPRICE = "reprice"
    END = "end"
    CANCEL = "cancel"


class Do(StrEnum):
    """What to do about a step."""

    INSTRUCT = "instruct"
    REMEMBER = "remember"
    """The price, for an approval that is still to come."""
    REPLACE = "replace"
    WITHDRAW = "withdraw"
    CLOSE = "close"
    REPEAT = "repeat"
    """Announce the decision again."""
    NOTHING = "nothing"


def what_to_do(state: State, ask: Ask, *, newer: bool, same: bool, kept: bool) -> Do:
    """The one thing that follows from a step where the enrollment now stands.

    `newer` and `same` compare a new price with the one that was last used; `kept` says that a
    cancellation keeps part of the price.
    """
    match ask, state:
        case Ask.INSTRUCT, State.NEW:
            return Do.INSTRUCT
        case Ask.INSTRUCT, State.INSTRUCTED | State.REFUSED:
            return Do.REPEAT
        case Ask.REPRICE, State.NEW:
            return Do.REMEMBER if newer else Do.NOTHING
        case Ask.REPRICE, State.INSTRUCTED:
            return Do.REPLACE if newer else Do.REPEAT if same else Do.NOTHING
        case Ask.END | Ask.CANCEL, State.NEW:
            return Do.CLOSE
        case Ask.CANCEL, State.INSTRUCTED:
            return Do.REPLACE if kept else Do.WITHDRAW
        case Ask.END, State.INSTRUCTED:
            return Do.WITHDRAW
        case Ask.END | Ask.CANCEL, State.WITHDRAWN | State.REDUCED:
            return Do.REPEAT
    return Do.NOTHING


def replaced(route: Route, documents: Iterable[str], price: Price | None) -> dict[str, int]:
    """The amounts of an instruction's documents at another price; all zero where nothing is left of it."""
    net_of = amounts(route, price) if price else {}
    return {document: net_of.get(Document(document), 0) for document in documents}
