"""How an enrollment is invoiced, by example and by property."""

from datetime import date
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.instructions.rules import (
    Ask,
    Do,
    Document,
    Price,
    State,
    TermTooLong,
    amounts,
    due_on,
    invoices,
    reference,
    replaced,
    term,
    what_to_do,
)
from billing.parties.rules import Organisation, Route

PRICE = Price("EUR", 100_00, 15_00, 7_50)


def organisation(kind: str = "customer", *, small: bool = False) -> Organisation:
    return Organisation(kind, UUID(int=1), small, {})


SMALL, LARGE = organisation(small=True), organisation()
PLATFORM = Organisation("platform", None, True, {})


@st.composite
def prices(draw: st.DrawFn) -> Price:
    price = draw(st.integers(0, 10**9))
    discount = draw(st.integers(0, price))
    return Price("EUR", price, discount, draw(st.integers(0, discount)))


@pytest.mark.parametrize(
    ("seller", "buyer", "days", "allowed"),
    [
        (SMALL, LARGE, 30, True),
        (SMALL, LARGE, 31, False),  # whatever was agreed
        (SMALL, LARGE, 60, False),
        (SMALL, SMALL, 60, True),
        (LARGE, LARGE, 60, True),
        (LARGE, SMALL, 60, True),
        (SMALL, PLATFORM, 60, True),  # the platform is a small company
    ],
)
def test_a_small_seller_waits_for_a_large_buyer_at_most_30_days(
    seller: Organisation, buyer: Organisation, days: int, allowed: bool
) -> None:
    if allowed:
        assert term(seller, buyer, days) == days
    else:
        with pytest.raises(TermTooLong):
            term(seller, buyer, days)


def test_the_direct_route_bills_the_customer_and_a_monthly_fee_to_the_supplier() -> None:
    supplier, customer = organisation("supplier", small=True), organisation("customer")

    found = invoices(Route.TO_CUSTOMER, PRICE, supplier, customer, PLATFORM)

    assert [(i.document, i.seller.kind, i.buyer.kind, i.net, i.term_days, i.collected) for i in found] == [
        (Document.SUPPLIER_INVOICE, "supplier", "customer", 92_50, 30, "single"),
        (Document.PLATFORM_FEE, "platform", "supplier", 7_50, 30, "monthly"),
    ]


def test_the_platform_route_buys_within_60_days_and_sells_within_30() -> None:
    supplier, customer = organisation("supplier", small=True), organisation("customer")

    found = invoices(Route.TO_PLATFORM, PRICE, supplier, customer, PLATFORM)

    assert [(i.document, i.seller.kind, i.buyer.kind, i.net, i.term_days, i.collected) for i in found] == [
        (Document.PURCHASE, "supplier", "platform", 85_00, 60, "single"),
        (Document.SALES, "platform", "customer", 92_50, 30, "single"),
    ]


def test_a_platform_that_has_grown_large_may_not_take_60_days_from_a_small_supplier() -> None:
    large_platform = Organisation("platform", None, False, {})

    with pytest.raises(TermTooLong):
        invoices(Route.TO_PLATFORM, PRICE, organisation("supplier", small=True), LARGE, large_platform)


def test_a_participant_pays_the_list_price_and_the_supplier_the_fee() -> None:
    participant, supplier = organisation("participant", small=True), organisation("supplier", small=True)

    found = invoices(Route.TO_PARTICIPANT, Price("EUR", 100_00, 0, 10_00), supplier, participant, PLATFORM)

    assert [(i.document, i.buyer.kind, i.net) for i in found] == [
        (Document.SUPPLIER_INVOICE, "participant", 100_00),
        (Document.PLATFORM_FEE, "supplier", 10_00),
    ]


def test_the_platforms_own_course_is_sold_by_the_platform() -> None:
    [sold] = invoices(Route.TO_PLATFORM, PRICE, None, LARGE, PLATFORM)

    assert (sold.document, sold.seller.kind, sold.net, sold.term_days) == (Document.SALES, "platform", 92_50, 30)


@given(prices())
def test_on_either_route_the_supplier_keeps_the_same_and_the_platform_its_fee(price: Price) -> None:
    direct, through = amounts(Route.TO_CUSTOMER, price), amounts(Route.TO_PLATFORM, price)

    assert direct[Document.SUPPLIER_INVOICE] == through[Document.SALES]
    assert direct[Document.SUPPLIER_INVOICE] - direct[Document.PLATFORM_FEE] == through[Document.PURCHASE]
    assert through[Document.SALES] - through[Document.PURCHASE] == price.fee


@given(prices(), st.sampled_from(Route))
def test_nothing_is_left_of_a_withdrawn_instruction(price: Price, route: Route) -> None:
    documents = list(amounts(route, price))

    assert replaced(route, documents, price) == amounts(route, price)
    assert set(replaced(route, documents, None).values()) == {0}


@pytest.mark.parametrize(("price", "discount", "fee"), [(100, 101, 0), (100, -1, 0), (100, 0, 101), (100, 0, -1)])
def test_a_price_whose_parts_do_not_fit_is_none(price: int, discount: int, fee: int) -> None:
    with pytest.raises(ValueError, match="do not fit"):
        Price("EUR", price, discount, fee)


@pytest.mark.parametrize(
    ("invoiced_on", "days", "due"),
    [
        (date(2027, 1, 31), 30, date(2027, 3, 2)),
        (date(2028, 1, 31), 30, date(2028, 3, 1)),  # a leap year
        (date(2027, 12, 15), 60, date(2028, 2, 13)),
    ],
)
def test_the_term_runs_from_the_invoice_date(invoiced_on: date, days: int, due: date) -> None:
    assert due_on(invoiced_on, days) == due


def test_a_reference_is_one_that_banks_can_check() -> None:
    assert reference(539007547034) == "RF18539007547034"  # the example of ISO 11649
    assert reference(1) == "RF74000000001"


@given(st.integers(1, 10**12))
def test_the_check_digits_of_a_reference_hold(number: int) -> None:
    found = reference(number)

    moved = found[4:] + "2715" + found[2:4]
    assert int(moved) % 97 == 1


@pytest.mark.parametrize(
    ("state", "ask", "kept", "do"),
    [
        (State.NEW, Ask.INSTRUCT, False, Do.INSTRUCT),
        (State.INSTRUCTED, Ask.INSTRUCT, False, Do.REPEAT),
        (State.REFUSED, Ask.INSTRUCT, False, Do.REPEAT),
        (State.CLOSED, Ask.INSTRUCT, False, Do.NOTHING),  # an approval after a cancellation
        (State.WITHDRAWN, Ask.INSTRUCT, False, Do.NOTHING),
        (State.NEW, Ask.CANCEL, False, Do.CLOSE),
        (State.INSTRUCTED, Ask.CANCEL, False, Do.WITHDRAW),
        (State.INSTRUCTED, Ask.CANCEL, True, Do.REPLACE),
        (State.INSTRUCTED, Ask.END, True, Do.WITHDRAW),
        (State.WITHDRAWN, Ask.CANCEL, False, Do.REPEAT),
        (State.REDUCED, Ask.CANCEL, True, Do.REPEAT),
        (State.REFUSED, Ask.CANCEL, False, Do.NOTHING),
        (State.CLOSED, Ask.END, False, Do.NOTHING),
    ],
)
def test_an_instruction_only_moves_forward(state: State, ask: Ask, kept: bool, do: Do) -> None:
    assert what_to_do(state, ask, newer=True, same=False, kept=kept) is do


@pytest.mark.parametrize(
    ("state", "newer", "same", "do"),
    [
        (State.NEW, True, False, Do.REMEMBER),
        (State.NEW, False, True, Do.NOTHING),
        (State.INSTRUCTED, True, False, Do.REPLACE),
        (State.INSTRUCTED, False, True, Do.REPEAT),
        (State.INSTRUCTED, False, False, Do.NOTHING),  # an older price
        (State.REDUCED, True, False, Do.NOTHING),  # cancelled meanwhile
        (State.WITHDRAWN, True, False, Do.NOTHING),
    ],
)
def test_a_changed_price_replaces_an_older_one_only(state: State, newer: bool, same: bool, do: Do) -> None:
    assert what_to_do(state, Ask.REPRICE, newer=newer, same=same, kept=True) is do
