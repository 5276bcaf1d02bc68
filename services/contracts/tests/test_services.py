"""What can be ordered, from outside."""

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contracts.services.rules import term_end
from contracts.terminations.rules import months_after
from kit.testing import Running, problem

FIBRE: dict[str, Any] = {
    "code": "fibre-500",
    "label": "Fibre 500/500",
    "terms": {
        "monthly_fee": 8900,
        "one_off": [{"label": "Installation", "amount": 25000}],
        "term_months": 36,
        "buyout": {"rule": "percentage", "percentage_bp": 7500},
    },
    "term_options": [24, 12],
    "conditions_version": "2026-01",
}


async def test_a_service_is_offered_with_its_terms(contracts: Running) -> None:
    made = (await contracts.post("/v1/service-products", FIBRE)).json()

    shown = (await contracts.get(f"/v1/service-products/{made['product_id']}")).json()
    assert shown == made
    assert made["term_options"] == [12, 24]
    assert made["terms"] == {
        "currency": "EUR",
        "monthly_fee": 8900,
        "one_off": [{"label": "Installation", "amount": 25000}],
        "term_months": 36,
        "renewal_months": 12,
        "notice_months": 1,
        "notice_days": 0,
        "open_end": "month",
        "buyout": {"rule": "percentage", "percentage_bp": 7500},
    }


async def test_a_code_is_given_once_and_an_edit_is_on_the_version_that_was_read(contracts: Running) -> None:
    made = (await contracts.post("/v1/service-products", FIBRE)).json()
    path = f"/v1/service-products/{made['product_id']}"

    again = await contracts.post("/v1/service-products", FIBRE)
    edit = {"status": "withdrawn"}
    unread = await contracts.http.patch(path, json=edit, headers=contracts.headers())
    done = await contracts.http.patch(path, json=edit, headers=contracts.headers(**{"If-Match": '"1"'}))
    stale = await contracts.http.patch(path, json={"label": "X"}, headers=contracts.headers(**{"If-Match": '"1"'}))
    offered = await contracts.get("/v1/service-products", status="offered")

    assert problem(again)["type"] == "/problems/product-code-taken"
    assert (unread.status_code, done.json()["version"]) == (428, 2)
    assert problem(stale)["type"] == "/problems/changed"
    assert offered.json()["items"] == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"code": "Fibre 500"},
        {"terms": {"monthly_fee": -1}},
        {"terms": {"monthly_fee": 8900, "term_months": 0}},
        {"terms": {"monthly_fee": 8900, "currency": "euro"}},
        {"terms": {"monthly_fee": 8900, "buyout": {"rule": "percentage", "percentage_bp": 10001}}},
        {"terms": {"monthly_fee": 8900, "buyout": {"rule": ["flat"]}}},
        {"terms": {"monthly_fee": 8900, "notice_months": 37}},
        {"term_options": [0]},
        {"kind": "loan"},
        {"conditions_url": "javascript:alert(1)"},
        {"price": 3},
    ],
)
async def test_a_service_that_is_wrong_is_refused_by_name(contracts: Running, wrong: dict[str, Any]) -> None:
    answer = await contracts.post("/v1/service-products", {**FIBRE, **wrong})

    assert problem(answer)["type"] == "/problems/not-understood"


@pytest.mark.parametrize(
    ("starts_on", "term", "renewal", "on", "ends_on"),
    [
        (date(2026, 1, 31), 1, 1, date(2026, 1, 31), date(2026, 2, 27)),  # February 28 is clipped, less a day
        (date(2026, 1, 31), 1, 1, date(2026, 2, 28), date(2026, 3, 30)),  # counted from the 31st, never from the 28th
        (date(2024, 2, 29), 12, 12, date(2024, 2, 29), date(2025, 2, 27)),
        (date(2024, 2, 29), 12, 12, date(2027, 3, 1), date(2028, 2, 28)),  # a leap year again
        (date(2026, 3, 2), 24, 12, date(2028, 3, 1), date(2028, 3, 1)),  # on its last day it has not renewed
        (date(2026, 3, 2), 24, 12, date(2028, 3, 2), date(2029, 3, 1)),
        (date(2026, 3, 2), 24, None, date(2028, 3, 2), None),  # runs on without term
        (date(2026, 3, 2), None, 12, date(2026, 3, 2), None),
    ],
)
def test_a_term_ends_the_day_before_its_months_are_over(
    starts_on: date, term: int | None, renewal: int | None, on: date, ends_on: date | None
) -> None:
    assert term_end(starts_on, term, renewal, on) == ends_on


@given(
    starts_on=st.dates(date(2000, 1, 1), date(2100, 12, 31)),
    term=st.integers(1, 60),
    renewal=st.integers(1, 24),
    later=st.integers(0, 4000),
)
def test_the_term_that_runs_is_the_first_that_is_not_over(starts_on: date, term: int, renewal: int, later: int) -> None:
    on = date.fromordinal(starts_on.toordinal() + later)

    end = term_end(starts_on, term, renewal, on)

    ends = [months_after(starts_on, term + k * renewal) - timedelta(days=1) for k in range(400)]
    assert end == min(day for day in ends if day >= on)
