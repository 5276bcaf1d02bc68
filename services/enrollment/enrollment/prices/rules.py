"""What a place costs and who pays for it. Values in, values out: no clock, no database.

Money is integer minor units; shares are basis points (10 000 = all).
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from enum import StrEnum
from uuid import UUID

WHOLE_BP = 10_000
NOT_SHOWN = "?"


class Payment(StrEnum):
    """How an enrollment is paid; decided when it is created, and never changed (ENR-4)."""

    CREDITS = "credits"
    INVOICE = "invoice"
    NONE = "none"


def share(amount: int, bp: int) -> int:
    """That share of an amount, rounded half up to the minor unit. Both are zero or more."""
    return (2 * amount * bp + WHOLE_BP) // (2 * WHOLE_BP)


@dataclass(frozen=True, slots=True)
class Terms:
    """A commercial agreement (CAT-6), the default where supplier and customer are None."""

    valid_from: date
    discount_bp: int
    platform_share_bp: int
    minimum_fee: int = 0
    currency: str | None = None
    """Of the minimum fee. In another currency than the price's, no minimum applies."""
    supplier_id: UUID | None = None
    customer_id: UUID | None = None


DEFAULT_TERMS = Terms(valid_from=date.min, discount_bp=1500, platform_share_bp=5000)
"""Holds until the catalog announces other defaults: 15 % discount, half of it for the platform."""


def terms_for(terms: Iterable[Terms], today: date) -> Terms:
    """The agreement that holds today among those of one supplier and customer, else the default.

    `terms` may also hold the default ones; of several in force the latest counts.
    """
    in_force = [t for t in terms if t.valid_from <= today]
    return max(in_force, key=lambda t: (t.supplier_id is not None, t.valid_from), default=DEFAULT_TERMS)


@dataclass(frozen=True, slots=True)
class Price:
    """A price split as CAT-6 says: the customer pays `price - discount + fee`, the supplier keeps
    `price - discount`, the platform keeps `fee`."""

    currency: str
    price: int
    discount: int = 0
    fee: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.fee <= self.discount <= self.price:
            raise ValueError(f"the parts of {self} do not fit into one another")

    @property
    def customer_pays(self) -> int:
        return self.price - self.discount + self.fee

    @property
    def supplier_keeps(self) -> int:
        return self.price - self.discount

    def kept(self, bp: int) -> "Price | None":
        """The part of it that a late cancellation keeps, split as the whole is; None for nothing."""
        part = Price(self.currency, share(self.price, bp), share(self.discount, bp), share(self.fee, bp))
        return part if part.price else None


def split(list_price: int, currency: str, terms: Terms) -> Price:
    """The breakdown of a list price (CAT-6): half up on the discount, then on the fee."""
    discount = share(list_price, terms.discount_bp)
    minimum = terms.minimum_fee if terms.currency in (None, currency) else 0
    fee = min(discount, max(share(discount, terms.platform_share_bp), minimum))
    return Price(currency, list_price, discount, fee)


@dataclass(frozen=True, slots=True)
class ListPrice:
    """A list price, net of VAT, and the day from which it holds."""

    valid_from: date
    amount: int
    currency: str


def price_on(prices: Iterable[ListPrice], day: date) -> ListPrice | None:
    """The price that holds on a day (CAT-5); None where none does yet."""
    return max((p for p in prices if p.valid_from <= day), key=lambda p: p.valid_from, default=None)


@dataclass(frozen=True, slots=True)
class Cancellation:
    """What a cancellation costs: nothing until so many days before the start, then a share (ENR-8)."""

    free_until_days: int = 14
    then_keep_bp: int = WHOLE_BP


@dataclass(frozen=True, slots=True)
class Payer:
    """Who a person learns for."""

    partner_id: UUID | None = None
    partner_active: bool = False
    wallet: bool = False
    customer_id: UUID | None = None
    customer_invoiced: bool = False
    """The customer is one that can be invoiced: known and not closed."""


@dataclass(frozen=True, slots=True)
class Course:
    """What an offer needs to know of a course."""

    course_id: UUID
    status: str
    offered_by: str
    supplier_id: UUID | None = None
    owner_partner_id: UUID | None = None
    prices: tuple[ListPrice, ...] = ()
    credit_scope: str = "none"
    credit_value: int | None = None
    credit_values: Mapping[UUID, int | None] | None = None
    sites: tuple[str, ...] | None = None
    cancellation: Cancellation = Cancellation()


@dataclass(frozen=True, slots=True)
class Site:
    """Whether a supplier's courses can be enrolled on at a site, and if not, why (CAT-2)."""

    site: str
    open: bool
    reason: str | None = None


class Closed(StrEnum):
    """Why a course cannot be had by a person."""

    WITHDRAWN = "withdrawn"
    NOT_OFFERED = "not_offered"
    """A platform's or another partner's course that was not chosen for the person's partner (CAT-7)."""
    SITE_CLOSED = "site_closed"
    NO_PAYER = "no_payer"
    NO_PRICE = "no_price"
    PARTNER_CLOSED = "partner_closed"


def credits_for(course: Course, partner_id: UUID) -> int | None:
    """The course's credit value for a partner (CAT-7); None where it is not for that partner."""
    if course.credit_scope == "all":
        return course.credit_value
    values = course.credit_values or {}
    if course.credit_scope == "chosen" and partner_id in values:
        own = values[partner_id]
        return course.credit_value if own is None else own
    return None


def site_open(course: Course, sites: Iterable[Site], customer_id: UUID) -> tuple[bool, str | None]:
    """Whether the supplier takes enrollments on the customer's portal, narrowed by the course's own sites.

    The customer's own portal is decided by its own entry where there is one, else by that of all portals.
    """
    own, every = f"customer_portal/{customer_id}", "customer_portal/*"
    if course.sites is not None and not {own, every} & set(course.sites):
        return False, "the course is not shown on this customer's portal"
    by_site = {s.site: s for s in sites}
    found = by_site.get(own) or by_site.get(every)
    if found is None:
        return False, "the supplier is not shown on this customer's portal"
    return found.open, found.reason


@dataclass(frozen=True, slots=True)
class Offer:
    """What a person would get a course for, or why not."""

    payment: Payment | None
    credits: int | None = None
    price: Price | None = None
    cancellation: Cancellation = Cancellation()
    closed: Closed | None = None
    reason: str | None = None

    @property
    def version(self) -> str:
        """Names what the offer was made from. It begins with the price in plain figures, so that a
        refusal of an older one can show both prices; the rest is a hash of the whole offer."""
        parts = json.dumps(asdict(self), sort_keys=True, default=str).encode()
        return f"{shown(self.payment, self.credits, self.price)}.{hashlib.sha256(parts).hexdigest()[:12]}"


def shown(payment: Payment | None, credits_: int | None, price: Price | None) -> str:
    """The price in plain figures: `credits-5`, `invoice-EUR-10000-1500-750`, `none`."""
    if payment is Payment.CREDITS:
        return f"credits-{credits_}"
    if price is not None:
        return f"invoice-{price.currency}-{price.price}-{price.discount}-{price.fee}"
    return str(payment or "closed")


def price_of_version(version: str) -> str:
    """The price that an offer version was made with, as `shown` writes it; `?` for one not of ours."""
    figures, dot, _ = version.partition(".")
    return figures[:80] if dot else NOT_SHOWN


def offer(course: Course, payer: Payer, sites: Iterable[Site], terms: Iterable[Terms], today: date) -> Offer:
    """What the course costs this payer today, or why it cannot be had (ENR-4, CAT-2, CAT-5 to CAT-7)."""
    made = _offer(course, payer, sites, terms, today)
    if course.status == "withdrawn" and made.closed is None:
        return Offer(None, closed=Closed.WITHDRAWN, reason="the course was withdrawn")
    return made


def _closed(why: Closed, reason: str) -> Offer:
    return Offer(None, closed=why, reason=reason)


def _offer(course: Course, payer: Payer, sites: Iterable[Site], terms: Iterable[Terms], today: date) -> Offer:
    if payer.partner_id and not payer.partner_active:
        return _closed(Closed.PARTNER_CLOSED, "the person's partner is not active")
    if course.offered_by != "supplier":
        return _own_course(course, payer)
    if payer.customer_id is None or not payer.customer_invoiced:
        return _closed(Closed.NO_PAYER, "the person has no customer that could be invoiced")
    is_open, why = site_open(course, sites, payer.customer_id)
    if not is_open:
        return _closed(Closed.SITE_CLOSED, why or "the supplier takes no enrollments here now")
    listed = price_on(course.prices, today)
    if listed is None:
        return _closed(Closed.NO_PRICE, "the course has no price that holds today")
    price = split(listed.amount, listed.currency, terms_for(terms, today))
    return Offer(Payment.INVOICE, price=price, cancellation=course.cancellation)


def _own_course(course: Course, payer: Payer) -> Offer:
    """The platform's course, paid by credits, or a whitelabel partner's own, which costs none (CAT-7)."""
    partner_id = payer.partner_id
    if course.owner_partner_id is not None or course.offered_by == "partner":
        if partner_id is None or partner_id != course.owner_partner_id:
            return _closed(Closed.NOT_OFFERED, "the course is another partner's own")
        return Offer(Payment.NONE, cancellation=course.cancellation)
    value = credits_for(course, partner_id) if partner_id else None
    if value is None:
        return _closed(Closed.NOT_OFFERED, "the course is not offered to the person's partner")
    if not payer.wallet or value == 0:
        return Offer(Payment.NONE, cancellation=course.cancellation)
    return Offer(Payment.CREDITS, credits=value, cancellation=course.cancellation)
