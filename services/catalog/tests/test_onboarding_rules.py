"""When enrollments are possible, and what is missing when they are not."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.suppliers.rules import (
    EVERY_PORTAL,
    PUBLIC,
    ROUTES,
    Missing,
    Onboarding,
    checklist,
    is_site,
    opening,
    openings,
    seen_on,
)

PORTAL = "customer_portal/01890000-0000-7000-8000-000000000001"
OTHER_PORTAL = "customer_portal/01890000-0000-7000-8000-000000000002"
BOARD = "courseboard/01890000-0000-7000-8000-000000000003"

READY = Onboarding(
    active=True,
    sites=frozenset({PUBLIC}),
    routes=frozenset(ROUTES),
    agreement_current=2,
    agreement_accepted=2,
    enrollments_on=True,
    courses=frozenset({None}),
)


def test_with_all_five_steps_done_enrollments_are_possible() -> None:
    assert opening(READY, PUBLIC).open
    assert all(step.done for step in checklist(READY))


@pytest.mark.parametrize(
    ("lost", "reason"),
    [
        ({"active": False}, Missing.SUPPLIER_CLOSED),
        ({"sites": frozenset({PORTAL})}, Missing.NOT_SHOWN),
        ({"routes": frozenset({"customer_portal"})}, Missing.ROUTE_OFF),
        ({"agreement_current": None, "agreement_accepted": None}, Missing.AGREEMENT_NOT_PUBLISHED),
        ({"agreement_accepted": None}, Missing.AGREEMENT_NOT_ACCEPTED),
        ({"agreement_current": 3}, Missing.AGREEMENT_OUT_OF_DATE),
        ({"enrollments_on": False}, Missing.SERVICE_OFF),
        ({"courses": frozenset()}, Missing.NO_COURSE),
        ({"courses": frozenset({frozenset({PORTAL})})}, Missing.NO_COURSE),
    ],
)
def test_losing_one_step_pauses_enrollments_and_says_why(lost: dict[str, object], reason: Missing) -> None:
    paused = opening(replace(READY, **lost), PUBLIC)  # type: ignore[arg-type]

    assert (paused.open, paused.reason) == (False, reason)


@pytest.mark.parametrize(
    ("narrowing", "site", "seen"),
    [
        (None, PUBLIC, True),
        (None, BOARD, True),
        ({PUBLIC}, PUBLIC, True),
        ({PUBLIC}, PORTAL, False),
        ({PORTAL}, PORTAL, True),
        ({PORTAL}, OTHER_PORTAL, False),
        ({PORTAL}, EVERY_PORTAL, True),  # shown on every portal, the course is seen on that one
        ({EVERY_PORTAL}, OTHER_PORTAL, True),
        ({EVERY_PORTAL}, PUBLIC, False),
        ({EVERY_PORTAL}, BOARD, False),
        (set(), PUBLIC, False),
    ],
)
def test_a_narrowed_course_counts_only_where_it_is_seen(narrowing: set[str] | None, site: str, seen: bool) -> None:
    assert seen_on(None if narrowing is None else frozenset(narrowing), site) is seen


@pytest.mark.parametrize("name", ["public", EVERY_PORTAL, PORTAL, BOARD])
def test_sites_are_known_by_their_names(name: str) -> None:
    assert is_site(name)


@pytest.mark.parametrize(
    "name",
    ["", "Public", "customer_portal", "customer_portal/", "courseboard/*", "public/*", f"{PORTAL}\n", "portal/1"],
)
def test_other_names_are_no_sites(name: str) -> None:
    assert not is_site(name)


sites = st.sets(st.sampled_from([PUBLIC, EVERY_PORTAL, PORTAL, OTHER_PORTAL, BOARD])).map(frozenset)
states = st.builds(
    Onboarding,
    active=st.booleans(),
    sites=sites,
    routes=st.sets(st.sampled_from(ROUTES)).map(frozenset),
    agreement_current=st.none() | st.integers(1, 3),
    agreement_accepted=st.none() | st.integers(1, 3),
    enrollments_on=st.booleans(),
    courses=st.sets(st.none() | sites, max_size=3).map(frozenset),
)


@given(states)
def test_a_site_is_open_exactly_when_nothing_is_missing_there(state: Onboarding) -> None:
    for found in openings(state):
        assert found.open == (found.reason is None) == (not found.missing)
        assert found.site in state.sites


@given(states)
def test_no_site_is_open_before_every_step_is_done(state: Onboarding) -> None:
    if any(found.open for found in openings(state)):
        assert all(step.done for step in checklist(state))


@given(states)
def test_accepting_the_newest_agreement_never_closes_a_site(state: Onboarding) -> None:
    accepted = replace(state, agreement_accepted=state.agreement_current)

    for before, after in zip(openings(state), openings(accepted), strict=True):
        assert set(after.missing) <= set(before.missing)
