"""Days and fees of a contract: by hand, and whatever the dates are (BIL-10, BIL-12)."""

from datetime import date, timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from billing.invoices.rules import Sums, Treatment, Vat, credited, paid_net, share, sums, vat_for
from billing.subscriptions.rules import Commission, Document, End, Fee, Plan, Span, minus, months_after, plan

FROM_31 = Fee(date(2027, 1, 31), 100_00)


def day(text: str) -> date:
    return date.fromisoformat(text)


def span(first: str, last: str) -> Span:
    return Span(day(first), day(last))


@pytest.mark.parametrize(
    ("number", "month"),
    [
        (0, span("2027-01-31", "2027-02-27")),  # February has no 31st: the next month begins on its last day
        (1, span("2027-02-28", "2027-03-30")),
        (2, span("2027-03-31", "2027-04-29")),  # back on the 31st: never counted from a clipped day
        (12, span("2028-01-31", "2028-02-28")),
        (13, span("2028-02-29", "2028-03-30")),  # a leap year
    ],
)
def test_billing_months_keep_their_anchor(number: int, month: Span) -> None:
    assert FROM_31.month(number) == month
    assert {FROM_31.month_of(month.first), FROM_31.month_of(month.last)} == {month}


@pytest.mark.parametrize(
    ("first", "last", "amount"),
    [
        ("2027-01-31", "2027-02-27", 100_00),  # a whole month
        ("2027-02-28", "2027-03-14", 48_39),  # 15 of 31 days: 48.387…
        ("2027-03-15", "2027-03-30", 51_61),  # the rest of that month: together the fee
        ("2027-02-28", "2027-04-29", 200_00),
        ("2027-03-31", "2027-03-31", 3_33),  # a day of a month of 30
    ],
)
def test_a_part_of_a_month_costs_by_the_day(first: str, last: str, amount: int) -> None:
    assert FROM_31.of(span(first, last)) == amount


starts = st.dates(date(2019, 1, 1), date(2032, 12, 31))
fees = st.builds(Fee, starts, st.integers(0, 1_000_000))


@given(fees, st.integers(0, 2500), st.integers(0, 800), st.integers(0, 800))
def test_however_days_are_cut_the_parts_add_up(fee: Fee, offset: int, one: int, two: int) -> None:
    first = fee.starts_on + timedelta(days=offset)
    middle, last = first + timedelta(days=one), first + timedelta(days=one + 1 + two)

    assert fee.of(Span(first, middle)) + fee.of(Span(middle + timedelta(days=1), last)) == fee.of(Span(first, last))
    months = fee.by_month(Span(first, last))
    assert sum(fee.of(month) for month in months) == fee.of(Span(first, last))
    assert sum(month.days for month in months) == Span(first, last).days


@given(fees, st.integers(0, 2500))
def test_every_day_is_in_one_month_and_a_whole_month_costs_the_fee(fee: Fee, offset: int) -> None:
    on = fee.starts_on + timedelta(days=offset)
    number = fee.month_number(on)

    assert fee.month(number).first <= on <= fee.month(number).last
    assert fee.month(number + 1).first == fee.month(number).last + timedelta(days=1)
    assert fee.of(fee.month(number)) == fee.amount
    assert months_after(fee.starts_on, number).day in (fee.starts_on.day, fee.month(number).first.day)


@given(fees, st.integers(0, 400), st.integers(0, 400))
def test_days_served_are_never_cheaper_for_being_more(fee: Fee, offset: int, more: int) -> None:
    on = fee.starts_on + timedelta(days=offset)

    assert fee.through(on) <= fee.through(on + timedelta(days=more))


# -- the plan ---------------------------------------------------------------------------------------------

FEE = Fee(date(2027, 3, 10), 310_00)
FIRST, SECOND = span("2027-03-10", "2027-04-09"), span("2027-04-10", "2027-05-09")
A, B = UUID(int=1), UUID(int=2)


def test_a_month_is_invoiced_when_it_begins_and_not_before() -> None:
    assert plan(FEE, None, [], [], day("2027-03-09")) == Plan([], [], day("2027-03-10"))
    assert plan(FEE, None, [], [], day("2027-03-10")) == Plan([FIRST], [], day("2027-04-10"))
    assert plan(FEE, None, [], [Document(A, FIRST)], day("2027-04-09")) == Plan([], [], day("2027-04-10"))


def test_months_that_went_by_are_invoiced_one_by_one() -> None:
    assert plan(FEE, None, [], [], day("2027-05-01")).invoice == [FIRST, SECOND]


def test_the_last_month_is_invoiced_by_the_day_where_the_end_is_known_before() -> None:
    ends = End(day("2027-04-20"), final=False)

    planned = plan(FEE, ends, [], [Document(A, FIRST)], day("2027-04-10"))

    assert planned == Plan([span("2027-04-10", "2027-04-20")], [], None)
    assert FEE.of(planned.invoice[0]) == 113_67  # 310 × 11 ÷ 30


def test_an_end_that_is_lifted_brings_the_rest_of_the_month() -> None:
    documents = [Document(A, FIRST), Document(B, span("2027-04-10", "2027-04-20"))]

    planned = plan(FEE, None, [], documents, day("2027-04-25"))

    assert planned.invoice == [span("2027-04-21", "2027-05-09")]
    assert FEE.of(planned.invoice[0]) + 113_67 == 310_00


def test_days_after_the_end_are_given_back_only_when_it_has_come() -> None:
    documents = [Document(A, FIRST), Document(B, SECOND)]
    last = day("2027-04-20")

    assert plan(FEE, End(last, final=False), [], documents, day("2027-04-15")).credit == []
    ended = plan(FEE, End(last, final=True), [], documents, day("2027-04-21"))
    assert ended == Plan([], [(B, span("2027-04-21", "2027-05-09"))], None)


def test_days_that_a_buyout_has_set_off_are_not_given_back() -> None:
    documents = [Document(A, FIRST), Document(B, SECOND)]
    end = End(day("2027-04-20"), final=True)

    part = plan(FEE, end, [(B, span("2027-04-26", "2027-05-09"))], documents, day("2027-04-21"))
    whole = plan(FEE, end, [(B, span("2027-04-21", "2027-05-09"))], documents, day("2027-04-21"))

    assert part.credit == [(B, span("2027-04-21", "2027-04-25"))]
    assert (whole.credit, whole.invoice) == ([], [])


def test_a_buyout_that_is_heard_of_after_the_days_were_given_back_takes_them_again() -> None:
    given_back = span("2027-04-21", "2027-05-09")
    documents = [Document(A, FIRST), Document(B, SECOND, (given_back,))]

    late = plan(FEE, End(day("2027-04-20"), final=True), [(B, given_back)], documents, day("2027-05-20"))

    assert late == Plan([given_back], [], None)


def test_a_service_that_ends_later_than_agreed_is_paid_to_its_last_day() -> None:
    documents = [Document(A, FIRST), Document(B, span("2027-04-10", "2027-04-20"))]

    ended = plan(FEE, End(day("2027-05-12"), final=True), [], documents, day("2027-05-13"))

    assert ended.invoice == [span("2027-04-21", "2027-05-09"), span("2027-05-10", "2027-05-12")]


def test_what_ends_before_it_began_is_never_invoiced() -> None:
    assert plan(FEE, End(day("2027-03-01"), final=True), [], [], day("2027-06-01")) == Plan([], [], None)


Happening = tuple[str, int]
happenings = st.lists(
    st.one_of(
        st.tuples(st.just("day"), st.integers(1, 40)),
        st.tuples(st.just("scheduled"), st.integers(0, 120)),
        st.tuples(st.just("closed"), st.just(0)),
    ),
    max_size=12,
)


@given(fees, happenings, st.integers(0, 150))
def test_whatever_happened_the_end_leaves_the_days_served_invoiced_once_each(
    fee: Fee, happened: list[Happening], last: int
) -> None:
    today, end, books = fee.starts_on - timedelta(days=5), None, Books(fee)
    for what, number in happened:
        if what == "day":
            today += timedelta(days=number)
        elif what == "scheduled":
            end = End(today + timedelta(days=number), final=False)
        else:
            end = None
        books.carry_out(plan(fee, end, [], books.documents, today))
        again = plan(fee, end, [], books.documents, today)
        assert (again.invoice, again.credit) == ([], [])
    final = End(fee.starts_on + timedelta(days=last), final=True)

    books.carry_out(plan(fee, final, [], books.documents, today))

    assert books.net == fee.through(final.last_day)
    assert minus(books.covered, [Span(fee.starts_on, final.last_day)]) == []
    assert sum(covered.days for covered in books.covered) == last + 1


class Books:
    """The documents that carrying out plans leads to."""

    def __init__(self, fee: Fee) -> None:
        self.fee, self.documents, self.net = fee, list[Document](), 0

    @property
    def covered(self) -> list[Span]:
        return [covered for document in self.documents for covered in document.covered]

    def carry_out(self, planned: Plan) -> None:
        for invoiced in planned.invoice:
            self.documents.append(Document(UUID(int=len(self.documents)), invoiced))
            self.net += self.fee.of(invoiced)
        for invoice_id, given_back in planned.credit:
            at = next(i for i, document in enumerate(self.documents) if document.id == invoice_id)
            before = self.documents[at]
            self.documents[at] = Document(before.id, before.span, (*before.credited, given_back))
            self.net -= self.fee.of(given_back)


# -- sums -------------------------------------------------------------------------------------------------

VAT = Vat(Treatment.STANDARD, 21_00)


@pytest.mark.parametrize(
    ("country", "vat_id", "expected"),
    [
        ("NL", "NL123456789B01", Vat(Treatment.STANDARD, 21_00)),
        ("IT", "IT01234567890", Vat(Treatment.REVERSE_CHARGE, 0)),
        ("IT", None, Vat(Treatment.STANDARD, 21_00)),
        ("CH", "CHE123456789", Vat(Treatment.OUTSIDE_SCOPE, 0)),
    ],
)
def test_vat_follows_the_buyers_country_and_id(country: str, vat_id: str | None, expected: Vat) -> None:
    assert vat_for("NL", {"address": {"country": country}, "vat_id": vat_id}, 21_00) == expected


def test_a_partner_that_invoices_itself_is_invoiced_less_its_share() -> None:
    assert sums(249_00, VAT, off_bp=10_00) == Sums(249_00, 224_10, 47_06)  # 24.90 off; VAT 47.061


@given(st.lists(st.integers(0, 100_000), min_size=1, max_size=5), st.integers(0, 10_000), st.integers(0, 2_500))
def test_credit_notes_over_the_whole_take_back_the_whole_to_the_cent(
    parts: list[int], off_bp: int, rate_bp: int
) -> None:
    vat, back = Vat(Treatment.STANDARD, rate_bp), Sums(0, 0, 0)
    for fee in parts:
        note = credited(fee, back, vat, off_bp)
        assert min(note.fee, note.net, note.vat) >= 0
        back = Sums(back.fee + note.fee, back.net + note.net, back.vat + note.vat)

    assert back == sums(sum(parts), vat, off_bp)


@pytest.mark.parametrize(
    ("given_back", "paid", "net"),
    [
        (0, 0, 0),
        (0, 121_00, 100_00),
        (0, 60_50, 50_00),
        (25_00, 121_00, 75_00),  # paid, then a quarter is credited: that quarter earns nothing any more
        (25_00, 90_75, 75_00),  # credited first, then the rest is paid
        (100_00, 0, 0),
    ],
)
def test_commission_is_of_what_is_paid_and_kept(given_back: int, paid: int, net: int) -> None:
    assert paid_net(sums(100_00, VAT), sums(given_back, VAT), paid) == net


def test_a_commission_covers_the_months_agreed() -> None:
    year = Commission(10_00, months=2)

    assert [year.covers(FEE, FEE.month(n)) for n in range(4)] == [True, True, False, False]
    assert Commission(10_00, None).covers(FEE, FEE.month(99))
    assert share(249_00, 10_00) == 24_90
