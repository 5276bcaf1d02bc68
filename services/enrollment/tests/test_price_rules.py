"""What a place costs: the split of CAT-6 by hand and as a property, dated prices, credit values, sites, payment."""

from datetime import date
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enrollment.prices.rules import (
    Cancellation,
    Closed,
    Course,
    ListPrice,
    Offer,
    Payer,
    Payment,
    Price,
    Site,
    Terms,
    credits_for,
    offer,
    price_of_version,
    price_on,
    split,
    terms_for,
)

TODAY = date(2027, 3, 1)
PARTNER, OTHER, CUSTOMER, SUPPLIER = (UUID(int=n) for n in range(1, 5))
COURSE = UUID(int=9)
DEFAULT = Terms(valid_from=date(2026, 1, 1), discount_bp=1500, platform_share_bp=5000)

amounts = st.integers(min_value=0, max_value=10**12)
shares = st.integers(min_value=0, max_value=10_000)


@pytest.mark.parametrize(
    ("price", "terms", "discount", "fee"),
    [
        (10_000, DEFAULT, 1_500, 750),
        (12_345, DEFAULT, 1_852, 926),  # 1851.75 and 926
        (10, DEFAULT, 2, 1),  # 1.5 rounds up
        (3, DEFAULT, 0, 0),  # 0.45 rounds down
        (10_000, Terms(TODAY, 2000, 1000, 500, "EUR"), 2_000, 500),  # the share of 200 is below the minimum fee
        (1_000, Terms(TODAY, 1000, 5000, 500, "EUR"), 100, 100),  # the fee is never above the discount
        (10_000, Terms(TODAY, 2000, 1000, 500, "USD"), 2_000, 200),  # a minimum in another currency does not apply
        (10_000, Terms(TODAY, 0, 5000), 0, 0),
    ],
)
def test_a_price_is_split_half_up_on_the_discount_and_then_on_the_fee(
    price: int, terms: Terms, discount: int, fee: int
) -> None:
    assert split(price, "EUR", terms) == Price("EUR", price, discount, fee)


@given(price=amounts, discount_bp=shares, share_bp=shares, minimum=amounts)
def test_the_parts_always_add_up(price: int, discount_bp: int, share_bp: int, minimum: int) -> None:
    parts = split(price, "EUR", Terms(TODAY, discount_bp, share_bp, minimum, "EUR"))

    assert parts.supplier_keeps + parts.fee == parts.customer_pays
    assert 0 <= parts.fee <= parts.discount <= parts.price == price
    assert abs(parts.discount - price * discount_bp / 10_000) <= max(0.5, price * 1e-12)


@given(price=amounts, discount_bp=shares, share_bp=shares, kept_bp=shares)
def test_the_kept_part_of_a_price_adds_up_too(price: int, discount_bp: int, share_bp: int, kept_bp: int) -> None:
    whole = split(price, "EUR", Terms(TODAY, discount_bp, share_bp))
    kept = whole.kept(kept_bp)

    if kept is not None:
        assert kept.supplier_keeps + kept.fee == kept.customer_pays
        assert (kept.price <= whole.price, kept.discount <= whole.discount, kept.fee <= whole.fee) == (True,) * 3
    else:
        assert price * kept_bp < 5_000 + 1  # less than half a minor unit


def test_a_price_holds_from_its_day_until_the_next_one() -> None:
    prices = [ListPrice(date(2027, 1, 1), 100, "EUR"), ListPrice(date(2027, 3, 1), 120, "EUR")]

    on = {
        day: (found := price_on(prices, day)) and found.amount for day in (date(2026, 12, 31), date(2027, 2, 28), TODAY)
    }
    assert list(on.values()) == [None, 100, 120]


def test_the_agreement_of_a_supplier_and_customer_beats_the_default_from_its_day_on() -> None:
    own = Terms(date(2027, 3, 1), 2000, 5000, supplier_id=SUPPLIER, customer_id=CUSTOMER)
    newer_default = Terms(date(2027, 2, 1), 1000, 5000)
    terms = [DEFAULT, own, newer_default]

    assert terms_for(terms, date(2027, 1, 31)) == DEFAULT
    assert terms_for(terms, date(2027, 2, 28)) == newer_default
    assert terms_for(terms, TODAY) == own
    assert terms_for([], TODAY).discount_bp == 1500


def course(**more: object) -> Course:
    return Course(**{"course_id": COURSE, "status": "published", "offered_by": "platform", **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("scope", "general", "values", "value"),
    [
        ("all", 5, {}, 5),
        ("chosen", 5, {PARTNER: 3}, 3),
        ("chosen", 5, {PARTNER: None}, 5),
        ("chosen", 5, {PARTNER: 0}, 0),
        ("chosen", 5, {OTHER: 3}, None),
        ("none", 5, {PARTNER: 3}, None),
    ],
)
def test_a_partner_pays_its_own_value_else_the_general_one(
    scope: str, general: int, values: dict[UUID, int | None], value: int | None
) -> None:
    found = course(credit_scope=scope, credit_value=general, credit_values=values)

    assert credits_for(found, PARTNER) == value


SUPPLIERS = course(
    offered_by="supplier",
    supplier_id=SUPPLIER,
    prices=(ListPrice(date(2026, 1, 1), 10_000, "EUR"),),
    credit_scope="all",
    credit_value=5,
)
FOR_ALL = course(credit_scope="all", credit_value=5)
FREE = course(credit_scope="all", credit_value=0)
OWN = course(offered_by="partner", owner_partner_id=PARTNER, credit_scope="all", credit_value=5)
OF_PARTNER = Payer(PARTNER, True, True)
WITHOUT_WALLET = Payer(PARTNER, True, False)
OF_CUSTOMER = Payer(customer_id=CUSTOMER, customer_invoiced=True)
BOTH = Payer(PARTNER, True, True, CUSTOMER, True)
OPEN = [Site("customer_portal/*", True)]


@pytest.mark.parametrize(
    ("course", "payer", "payment", "closed"),
    [
        (FOR_ALL, OF_PARTNER, Payment.CREDITS, None),
        (FOR_ALL, BOTH, Payment.CREDITS, None),
        (FOR_ALL, WITHOUT_WALLET, Payment.NONE, None),
        (FREE, OF_PARTNER, Payment.NONE, None),
        (OWN, OF_PARTNER, Payment.NONE, None),
        (OWN, Payer(OTHER, True, True), None, Closed.NOT_OFFERED),
        (FOR_ALL, OF_CUSTOMER, None, Closed.NOT_OFFERED),
        (FOR_ALL, Payer(PARTNER, False, True), None, Closed.PARTNER_CLOSED),
        (SUPPLIERS, OF_CUSTOMER, Payment.INVOICE, None),
        (SUPPLIERS, BOTH, Payment.INVOICE, None),  # only the platform's own courses are offered for credits
        (SUPPLIERS, OF_PARTNER, None, Closed.NO_PAYER),
        (SUPPLIERS, Payer(customer_id=CUSTOMER, customer_invoiced=False), None, Closed.NO_PAYER),
    ],
)
def test_payment_follows_from_who_the_person_belongs_to_and_whose_course_it_is(
    course: Course, payer: Payer, payment: Payment | None, closed: Closed | None
) -> None:
    made = offer(course, payer, OPEN, [DEFAULT], TODAY)

    assert (made.payment, made.closed) == (payment, closed)
    assert (made.credits is not None, made.price is not None) == (
        payment is Payment.CREDITS,
        payment is Payment.INVOICE,
    )


@pytest.mark.parametrize(
    ("sites", "course_sites", "open_"),
    [
        ([Site("customer_portal/*", True)], None, True),
        ([Site(f"customer_portal/{CUSTOMER}", True)], None, True),
        ([Site(f"customer_portal/{OTHER}", True)], None, False),
        ([Site("public", True)], None, False),
        ([Site("customer_portal/*", False), Site(f"customer_portal/{CUSTOMER}", True)], None, True),
        ([Site("customer_portal/*", True), Site(f"customer_portal/{CUSTOMER}", False)], None, False),
        ([Site("customer_portal/*", True)], ("public",), False),
        ([Site("customer_portal/*", True)], ("customer_portal/*",), True),
        ([Site("customer_portal/*", True)], (f"customer_portal/{CUSTOMER}",), True),
        ([Site("customer_portal/*", True)], (f"customer_portal/{OTHER}",), False),
        ([], None, False),
    ],
)
def test_a_suppliers_course_is_had_only_where_its_site_is_open(
    sites: list[Site], course_sites: tuple[str, ...] | None, open_: bool
) -> None:
    narrowed = course(offered_by="supplier", supplier_id=SUPPLIER, prices=SUPPLIERS.prices, sites=course_sites)

    assert (offer(narrowed, OF_CUSTOMER, sites, [], TODAY).closed is None) is open_


def test_an_offers_version_changes_with_everything_that_was_shown() -> None:
    offers = [
        Offer(Payment.CREDITS, credits=5),
        Offer(Payment.CREDITS, credits=6),
        Offer(Payment.CREDITS, credits=5, cancellation=Cancellation(7, 5000)),
        Offer(Payment.INVOICE, price=Price("EUR", 100, 15, 8)),
        Offer(Payment.INVOICE, price=Price("EUR", 100, 15, 7)),
        Offer(Payment.NONE),
    ]

    assert len({made.version for made in offers}) == len(offers)
    assert price_of_version(offers[3].version) == "invoice-EUR-100-15-8"
    assert price_of_version("nonsense") == "?"
