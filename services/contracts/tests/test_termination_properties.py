"""What holds for every contract: any anchor day, leap years, notice, renewal, time zone and rule."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from itertools import pairwise, product
from zoneinfo import available_timezones

from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from contracts.buyouts.rules import (
    WHOLE,
    Kind,
    Paid,
    Rule,
    Service,
    adjusted,
    as_stored,
    fingerprint,
    from_stored,
    half_up,
    quote,
)
from contracts.terminations.rules import (
    OpenEnd,
    Term,
    answer_until,
    billing_months,
    end_of_day,
    local_day,
    months_after,
    proposal_until,
    propose_until,
    regular_end,
    reminders_due,
    working_days_after,
)
from kit.db import uuid7

ONE_DAY = timedelta(days=1)
unhurried = settings(deadline=None)
days = st.dates(date(2000, 1, 1), date(2100, 12, 31))
zones = st.sampled_from(sorted(z for z in available_timezones() if "/" in z and not z.startswith("Etc/")))
moments = st.datetimes(datetime(2000, 1, 2), datetime(2100, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001


@st.composite
def anchored(draw: st.DrawFn) -> date:
    """A start on every anchor day as likely, in leap years and others."""
    year, anchor = draw(st.integers(2000, 2060)), draw(st.integers(1, 31))
    months = [m for m in range(1, 13) if anchor <= 28 or months_after(date(year, 1, anchor), m - 1).day == anchor]
    if anchor == 29 and draw(st.booleans()):
        year, months = year - year % 4, [2]
    return date(year, draw(st.sampled_from(months)), anchor)


terms = st.builds(
    Term,
    anchored(),
    st.integers(0, 60),
    st.one_of(st.none(), st.integers(1, 36)),
    st.integers(0, 12),
    st.integers(0, 90),
    st.sampled_from(OpenEnd),
)


@st.composite
def running(draw: st.DrawFn) -> tuple[Term, date]:
    """A contract and a day of notice, from before its start until long after."""
    term = draw(terms)
    return term, term.starts_on + timedelta(days=draw(st.integers(-400, 15_000)))


@unhurried
@given(running())
@example((Term(date(2024, 2, 29), 12, 12), date(2025, 2, 28)))
@example((Term(date(2026, 1, 31), 1, 1), date(2026, 2, 28)))
@example((Term(date(2026, 3, 31), 0, 1), date(2026, 3, 30)))
def test_the_regular_end_leaves_the_notice_and_no_earlier_end_does(case: tuple[Term, date]) -> None:
    term, given_on = case
    end, out = regular_end(term, given_on), max(term.notice_runs_out(given_on), term.starts_on)

    assert end >= out
    ends = [end_of for k in range(620 if term.renewal_months else 1) for end_of in [term.end(k)]]
    possible = [e for e in ends if e >= out and (term.initial_months or term.renewal_months)]
    if possible:
        assert end == min(possible)
    elif term.renewal_months is None:
        assert end == out or (term.open_end is OpenEnd.MONTH and (end + ONE_DAY).day == 1 and (end - out).days < 31)


@unhurried
@given(running(), st.integers(0, 800))
def test_later_notice_never_ends_a_contract_earlier(case: tuple[Term, date], later: int) -> None:
    term, given_on = case

    assert regular_end(term, given_on) <= regular_end(term, given_on + timedelta(days=later))


@unhurried
@given(running(), st.integers(0, 12), st.integers(0, 60))
def test_longer_notice_never_ends_a_contract_earlier(case: tuple[Term, date], months: int, extra: int) -> None:
    term, given_on = case
    longer = replace(term, notice_months=term.notice_months + months, notice_days=term.notice_days + extra)

    assert regular_end(term, given_on) <= regular_end(longer, given_on)


@unhurried
@given(anchored(), st.integers(1, 36), st.integers(1, 400))
def test_a_term_starts_on_its_anchor_day_or_the_last_day_of_a_shorter_month(
    start: date, renewal: int, renewals: int
) -> None:
    next_start = Term(start, renewal, renewal).end(renewals) + ONE_DAY

    shorter = (next_start + ONE_DAY).day == 1 and next_start.day < start.day
    assert next_start.day == start.day or shorter


@unhurried
@given(anchored(), st.integers(0, 9000), st.integers(0, 1200))
def test_billing_months_cover_every_day_once(start: date, first: int, length: int) -> None:
    begin = start + timedelta(days=first)
    end = begin + timedelta(days=length)
    months = list(billing_months(start, begin, end))

    assert sum(m.days_within(begin, end) for m in months) == length + 1
    assert all(a.last + ONE_DAY == b.first for a, b in pairwise(months))
    assert months[0].first <= begin <= months[0].last
    assert months[-1].first <= end <= months[-1].last


@unhurried
@given(moments, zones)
def test_a_moment_lies_within_its_local_day(moment: datetime, zone: str) -> None:
    day = local_day(moment, zone)

    assert end_of_day(day - ONE_DAY, zone) <= moment < end_of_day(day, zone) or skipped(day, zone)


def skipped(day: date, zone: str) -> bool:
    """Whether a zone left out this day or the one before, as some have done at the date line."""
    return end_of_day(day - ONE_DAY, zone) == end_of_day(day, zone) or end_of_day(
        day - 2 * ONE_DAY, zone
    ) == end_of_day(day - ONE_DAY, zone)


@unhurried
@given(running(), moments, zones, zones)
def test_only_the_contracts_own_zone_decides_its_end(
    case: tuple[Term, date], moment: datetime, home: str, abroad: str
) -> None:
    term, _ = case
    here = local_day(moment, home)

    assert regular_end(term, here) == regular_end(term, local_day(moment.astimezone(UTC), home))
    if local_day(moment, abroad) == here:
        assert regular_end(term, local_day(moment, abroad)) == regular_end(term, here)


@unhurried
@given(days, st.integers(1, 15))
def test_working_days_are_monday_to_friday(day: date, number: int) -> None:
    until = working_days_after(day, number)
    between = [day + timedelta(days=n) for n in range(1, (until - day).days + 1)]

    assert until.weekday() < 5
    assert sum(d.weekday() < 5 for d in between) == number


@unhurried
@given(days, st.integers(0, 400))
def test_no_deadline_lies_beyond_the_day_it_is_about(asked: date, ahead: int) -> None:
    last_day = asked + timedelta(days=ahead)

    assert answer_until(asked, last_day) <= last_day
    assert proposal_until(asked, last_day) < last_day
    assert propose_until(asked) > asked
    assert [reminders_due(asked, asked + timedelta(days=n)) for n in (2, 3, 6, 7, 11, 12, 99)] == [0, 1, 1, 2, 2, 3, 3]


shares = st.integers(0, WHOLE)
rules = st.one_of(
    st.builds(Rule, st.sampled_from([Kind.PERCENTAGE, Kind.WHOLE_MONTHS, Kind.DAYS]), shares),
    st.builds(Rule, st.just(Kind.FLAT), amount=st.integers(0, 10**7)),
    st.builds(
        Rule, st.just(Kind.REDUCING), steps=st.lists(st.tuples(st.integers(0, 60), shares)).map(sorted).map(tuple)
    ),
    st.builds(
        Rule,
        st.just(Kind.LOWER_OF_BENEFITS),
        monthly_benefit=st.integers(0, 10**5),
        once_benefit=st.integers(0, 10**5),
    ),
    st.builds(Rule, st.just(Kind.LEGAL_CAP), shares, fees_max=st.integers(0, 12)),
)


@st.composite
def leaving(draw: st.DrawFn) -> tuple[Service, date, date, list[Paid]]:
    """A service, a last day before its regular end, and what is paid already."""
    term, given_on = draw(running())
    assume(given_on >= term.starts_on)
    regular = regular_end(term, given_on)
    last_day = regular - timedelta(days=draw(st.integers(1, min(max((regular - term.starts_on).days, 1), 900))))
    assume(last_day >= term.starts_on)
    service = Service(term, draw(st.integers(0, 10**6)), "EUR", draw(rules), draw(st.integers(0, 10**5)))
    some = draw(st.integers(0, 4))
    months = list(billing_months(term.starts_on, last_day, regular))[:some]
    return service, last_day, regular, [Paid(uuid7(), m.first, m.last, service.fee) for m in months]


@unhurried
@given(leaving())
def test_lines_add_up_and_survive_storage_with_one_hash(case: tuple[Service, date, date, list[Paid]]) -> None:
    quoted, termination = quote(*case), uuid7()

    assert quoted.total == sum(line.amount for line in quoted.lines)
    assert from_stored(as_stored(quoted)) == quoted
    assert fingerprint(termination, from_stored(as_stored(quoted))) == fingerprint(termination, quoted)
    other = adjusted(quoted, quoted.total + 1, "agreed by phone")
    assert other.total == quoted.total + 1
    assert fingerprint(termination, other) != fingerprint(termination, quoted) != fingerprint(uuid7(), quoted)


@unhurried
@given(leaving())
def test_the_default_is_the_formula_rounded_once(case: tuple[Service, date, date, list[Paid]]) -> None:
    service, last_day, regular, paid = case
    service = replace(service, rule=Rule(percentage_bp=service.rule.percentage_bp))
    remaining, day = Fraction(0), last_day + ONE_DAY
    while day <= regular:  # day by day, as nobody would compute it
        [month] = billing_months(service.term.starts_on, day, day)
        remaining += Fraction(service.fee, month.days)
        day += ONE_DAY

    quoted = quote(service, last_day, regular, paid)

    fees = sum(line.amount for line in quoted.lines if line.kind == "remaining_fees")
    assert fees == half_up(remaining * service.rule.percentage_bp / WHOLE)
    assert sum(line.amount for line in quoted.lines if line.kind == "one_off") == service.one_off_open


@unhurried
@given(leaving())
def test_the_same_one_off_and_paid_lines_stand_in_every_rule(case: tuple[Service, date, date, list[Paid]]) -> None:
    service, *where = case

    def others(rule: Rule) -> list[object]:
        return [
            line
            for line in quote(replace(service, rule=rule), *where).lines
            if line.kind in ("one_off", "already_paid")
        ]

    assert others(service.rule) == others(Rule())


@unhurried
@given(leaving())
def test_what_is_paid_is_never_set_off_beyond_its_own_days(case: tuple[Service, date, date, list[Paid]]) -> None:
    _, last_day, regular, paid = case
    by_invoice = {line.invoice_id: -line.amount for line in quote(*case).lines if line.kind == "already_paid"}

    assert all(0 <= by_invoice.get(p.invoice_id, 0) <= p.net for p in paid)
    assert all(
        by_invoice.get(p.invoice_id, 0) == p.net for p in paid if last_day < p.first and p.last <= regular and p.net
    )


@unhurried
@given(leaving())
def test_caps_and_benefits_never_make_it_dearer(case: tuple[Service, date, date, list[Paid]]) -> None:
    service, *where = case
    assume(service.rule.kind in (Kind.LEGAL_CAP, Kind.LOWER_OF_BENEFITS))
    plain = Rule(percentage_bp=service.rule.percentage_bp)

    assert quote(service, *where).total <= quote(replace(service, rule=plain), *where).total


@unhurried
@given(leaving(), st.integers(0, 40))
def test_on_the_regular_end_or_later_it_costs_nothing(case: tuple[Service, date, date, list[Paid]], later: int) -> None:
    service, _, regular, paid = case

    assert quote(service, regular + timedelta(days=later), regular, paid).lines == ()


NOTICES = [{"notice_months": m} for m in (0, 1, 2, 3, 6)] + [{"notice_days": d} for d in (14, 30)]
ZONES = ["Europe/Amsterdam", "America/St_Johns", "Asia/Kathmandu", "Pacific/Kiritimati", "Pacific/Pago_Pago"]


def test_every_anchor_day_leap_year_notice_renewal_and_zone_against_a_list_of_ends() -> None:
    for anchor, year, notice, renewal, zone in product(range(1, 32), (2023, 2024), NOTICES, (1, 3, 12), ZONES):
        start = date(year, 1, anchor)
        term = Term(start, 12, renewal, **notice)
        asked = end_of_day(date(year + 1, 2, 27), zone)  # the first moment of 28 February there
        ends = [months_after(start, 12 + k * renewal) - ONE_DAY for k in range(40)]

        end = regular_end(term, local_day(asked, zone))

        out = months_after(date(year + 1, 2, 28), notice.get("notice_months", 0)) + timedelta(
            days=notice.get("notice_days", 0)
        )
        assert end == next(e for e in ends if e >= out)
        assert local_day(end_of_day(end, zone) - timedelta(microseconds=1), zone) == end
