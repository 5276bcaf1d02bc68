"""Ending services, from outside: asked for, agreed or not, ended on the day (CON-8 to CON-14)."""

import asyncio
import base64
from typing import Any

import pytest

from kit.testing import Running, problem
from schemas.contract import (
    BuyoutAccepted,
    BuyoutProposed,
    ContractTerminated,
    TerminationApproved,
    TerminationClosed,
    TerminationRequested,
    TerminationScheduled,
)
from schemas.event import uuid7
from schemas.invoice import InvoiceCredited, InvoiceIssued, InvoicePaid
from services.contracts.tests.leaving import CUSTOMER, FINANCE, PARTNER, SECOND, Leaving, links_in

PLATFORM = "platform@tandem.example"


@pytest.fixture
async def leaving(contracts: Running) -> Leaving:
    """2 March 2026, ten in the morning in Amsterdam."""
    return await Leaving(contracts).begin()


def steps(termination: dict[str, Any]) -> list[str]:
    return [step["step"] for step in termination["steps"]]


# -- an end on or after the regular end -------------------------------------------------------------------


async def test_the_partner_sees_at_once_when_each_service_may_end_and_what_an_earlier_day_costs(
    leaving: Leaving,
) -> None:
    year = await leaving.service("2026-01-01")
    monthly = await leaving.service("2025-01-15", label="Phone", renewal_months=1)

    found = await leaving.running.get(
        "/v1/termination-quotes", email=PARTNER, customer_id=leaving.customer_id, wish_date="2026-11-30"
    )

    one, two = found.json()["items"]
    assert (one["contract_id"], one["quote"]["regular_end"], one["early"]) == (year, "2026-12-31", True)
    assert (one["quote"]["total"], one["quote"]["lines"][0]["kind"]) == (10_000, "remaining_fees")
    assert (two["contract_id"], two["quote"]["regular_end"], two["early"]) == (monthly, "2026-04-14", False)
    assert (two["quote"]["last_day"], two["quote"]["total"]) == ("2026-11-30", 0)
    assert (one["notice_on"], one["termination_id"], one["refused"]) == ("2026-03-02", None, None)


async def test_a_service_ends_after_the_customers_approval_on_its_regular_end_and_everybody_has_it_in_writing(
    leaving: Leaving,
) -> None:
    contract = await leaving.service()
    (termination,) = await leaving.requested(contract)
    waiting = await leaving.shown(termination)
    (link,) = await leaving.links()

    opened = await leaving.open(link)
    still = await leaving.shown(termination)
    approved = await leaving.press(link, "approve")
    scheduled = await leaving.shown(termination)
    await leaving.at("2026-12-31T22:59:59Z")  # a second to midnight in Amsterdam
    last = await leaving.shown(termination)
    await leaving.at("2026-12-31T23:00:00Z")
    ended = await leaving.shown(termination)

    assert (waiting["state"], waiting["waits"]["on"], waiting["waits"]["for"]) == ("requested", "customer", "approval")
    assert waiting["waits"]["until"] == "2026-03-16T23:00:00Z"  # the end of the fourteenth day
    assert (opened.status_code, still["state"]) == (200, "requested")
    assert "31 December 2026" in opened.text
    assert "31 December 2026" in approved.text
    assert (scheduled["state"], scheduled["last_day"], scheduled["quote"]["total"]) == ("scheduled", "2026-12-31", 0)
    assert scheduled["waits"]["until"] == "2026-12-31T23:00:00Z"
    assert (last["state"], ended["state"]) == ("scheduled", "ended")
    assert steps(ended) == ["requested", "asked", "approved", "scheduled", "ended"]
    confirmations = [m for m in await leaving.running.mails() if m["subject"].startswith("Confirmed")]
    assert sorted(m["recipient"] for m in confirmations) == sorted([CUSTOMER, PARTNER, PLATFORM])
    for mail in confirmations:
        pdf = base64.b64decode(mail["attachments"][0]["content"])
        assert termination in mail["text"]
        assert "31 December 2026" in mail["text"]
        assert pdf.startswith(b"%PDF")
        assert f"{termination}, 2026-12-31, 0".encode() in pdf  # its keywords: the same id, date and sum
    service = (await leaving.running.get(f"/v1/service-contracts/{contract}", email=PARTNER)).json()
    assert (service["state"], service["last_day"]) == ("ended", "2026-12-31")


async def test_the_facts_of_a_regular_end_follow_each_other_in_versions(leaving: Leaving) -> None:
    (termination,) = await leaving.requested(await leaving.service(), reason="moving")
    await leaving.press((await leaving.links())[0], "approve")
    await leaving.at("2027-01-05T12:00:00Z")

    told = [
        (await leaving.running.published(event))[0]
        for event in (TerminationRequested, TerminationApproved, TerminationScheduled, ContractTerminated)
    ]
    assert [str(e.termination_id) for e in told] == [termination] * 4
    assert [e.version for e in told] == sorted({e.version for e in told})
    requested, _, scheduled, terminated = told
    assert (str(requested.requested_on), str(requested.regular_end), requested.early) == (
        "2026-03-02",
        "2026-12-31",
        False,
    )
    assert (str(scheduled.last_day), str(terminated.last_day), terminated.reason) == (
        "2026-12-31",
        "2026-12-31",
        "moving",
    )


async def test_a_declined_end_is_closed_and_all_three_are_told(leaving: Leaving) -> None:
    (termination,) = await leaving.requested(await leaving.service())

    page = await leaving.press((await leaving.links())[0], "decline", "we stay")

    shown = await leaving.shown(termination)
    assert "declined" in page.text
    assert (shown["state"], shown["closed_reason"], shown["waits"]) == ("closed", "declined", None)
    assert shown["steps"][-1]["detail"] == {"reason": "declined", "note": "we stay"}
    told = [m["recipient"] for m in await leaving.running.mails() if "goes on" in m["subject"]]
    assert sorted(told) == sorted([CUSTOMER, PARTNER, PLATFORM])
    assert [e.reason for e in await leaving.running.published(TerminationClosed)] == ["declined"]


async def test_silence_is_reminded_of_on_day_3_7_and_12_and_closes_the_request_after_14(leaving: Leaving) -> None:
    (termination,) = await leaving.requested(await leaving.service())
    first = (await leaving.links())[0]
    counts = []
    for day in range(3, 17):
        await leaving.at(f"2026-03-{day:02}T22:30:00Z")
        counts.append(len(await leaving.mails(CUSTOMER, "Reminder")))
    replaced = await leaving.press(first, "approve")
    await leaving.at("2026-03-16T23:00:00Z")
    late = await leaving.press((await leaving.links())[0], "approve")

    assert counts == [0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 3, 3, 3]
    assert replaced.status_code == 410
    assert "newer mail" in replaced.text
    shown = await leaving.shown(termination)
    assert (shown["state"], shown["closed_reason"]) == ("closed", "expired")
    assert late.status_code == 409
    assert "did not answer in time" in late.text


async def test_after_a_leap_of_the_clock_one_reminder_stands_for_those_that_were_missed(leaving: Leaving) -> None:
    await leaving.requested(await leaving.service())
    await leaving.at("2026-03-12T09:00:00Z")

    assert len(await leaving.mails(CUSTOMER, "Reminder")) == 1
    await leaving.at("2026-03-14T09:00:00Z")
    assert len(await leaving.mails(CUSTOMER, "Reminder")) == 2


async def test_a_link_expires_on_the_asked_last_day_where_that_comes_first(leaving: Leaving) -> None:
    (termination,) = await leaving.requested(await leaving.service("2025-03-06", notice_months=0))

    shown = await leaving.shown(termination)
    assert shown["last_day"] == "2026-03-05"
    assert shown["waits"]["until"] == "2026-03-05T23:00:00Z"


async def test_a_wish_on_or_after_the_regular_end_is_honoured_and_a_day_before_it_is_early(leaving: Leaving) -> None:
    on, after, before = [await leaving.service(label=f"S{n}") for n in range(3)]

    made = (await leaving.request((on, "2026-12-31"), (after, "2027-02-28"), (before, "2026-12-30"))).json()

    found = {t["contract_id"]: t for t in made["terminations"]}
    assert [found[c]["early"] for c in (on, after, before)] == [False, False, True]
    assert [found[c]["state"] for c in (on, after, before)] == ["requested", "requested", "proposal_due"]
    assert [found[c]["last_day"] for c in (on, after, before)] == ["2026-12-31", "2027-02-28", "2026-12-30"]


async def test_one_request_for_several_services_is_one_mail_in_which_each_or_all_are_decided(leaving: Leaving) -> None:
    services = [await leaving.service(label=f"Line {n}") for n in range(3)]
    a, b, c = await leaving.requested(*services)
    [mail] = await leaving.mails(CUSTOMER, "Please approve")
    everything, *each = links_in(mail)

    await leaving.press(each[1], "decline")
    shown = await leaving.open(everything)
    done = await leaving.press(everything, "approve")

    assert len(each) == 3
    assert "Line 1" in shown.text
    assert [(await leaving.shown(t))["state"] for t in (a, b, c)] == ["scheduled", "closed", "scheduled"]
    assert "Line 1: Closed" in done.text
    assert (await leaving.press(each[0], "approve")).status_code == 409


# -- an early end -----------------------------------------------------------------------------------------


async def test_an_early_end_goes_to_finance_is_proposed_accepted_and_carries_one_sum_everywhere(
    leaving: Leaving,
) -> None:
    contract = await leaving.service()
    (termination,) = await leaving.requested((contract, "2026-09-15"))
    alert = await leaving.mails(PLATFORM, "Proposal needed")
    asked = await leaving.mails(CUSTOMER, "")
    due = await leaving.shown(termination)
    proposed = await leaving.act(termination, "proposals")
    (link,) = await leaving.links(subject="Proposal")
    page = await leaving.open(link)
    accepted = await leaving.press(link, "accept")
    agreed = await leaving.shown(termination)

    assert len(alert) == 1
    assert [m for m in asked if "/links/" in m["text"]] == []  # the customer is asked by the proposal alone
    assert (due["state"], due["waits"]["on"], due["waits"]["until"]) == (
        "proposal_due",
        "finance",
        "2026-03-05T23:00:00Z",
    )
    assert proposed.status_code == 201
    assert (proposed.json()["state"], proposed.json()["quote"]["total"]) == ("proposed", 35_000)
    assert proposed.json()["waits"]["until"] == "2026-03-16T23:00:00Z"
    [proposal] = proposed.json()["proposals"]
    assert proposal["hash"] in page.text
    assert "EUR 350.00" in page.text
    assert "15 September 2026" in accepted.text
    [bought] = await leaving.running.published(BuyoutAccepted)
    [offer] = await leaving.running.published(BuyoutProposed)
    [scheduled] = await leaving.running.published(TerminationScheduled)
    assert (bought.amount.amount, bought.lines_hash, str(bought.last_day)) == (35_000, proposal["hash"], "2026-09-15")
    assert sum(line.amount.amount for line in bought.lines) == bought.amount.amount
    assert offer.lines == bought.lines
    assert (str(scheduled.last_day), scheduled.early, str(scheduled.proposal_id)) == (
        "2026-09-15",
        True,
        proposal["proposal_id"],
    )
    assert (agreed["state"], agreed["agreed_hash"]) == ("scheduled", proposal["hash"])
    confirmations = [m for m in await leaving.running.mails() if m["subject"].startswith("Confirmed")]
    assert sorted(m["recipient"] for m in confirmations) == sorted([CUSTOMER, PARTNER, PLATFORM])
    for mail in confirmations:
        assert f"{termination}, 2026-09-15, 35000".encode() in base64.b64decode(mail["attachments"][0]["content"])
        assert "EUR 350.00" in mail["text"]


async def test_finance_may_propose_another_sum_with_a_reason_and_a_newer_proposal_replaces_it(
    leaving: Leaving,
) -> None:
    (termination,) = await leaving.requested((await leaving.service(), "2026-09-15"))

    silent = await leaving.act(termination, "proposals", {"amount": 20_000})
    await leaving.act(termination, "proposals", {"amount": 20_000, "reason": "a loyal customer"})
    (first,) = await leaving.links()
    newer = await leaving.act(termination, "proposals", {"amount": 10_000, "reason": "a very loyal one"})
    (second,) = await leaving.links()
    old = await leaving.press(first, "accept")
    done = await leaving.press(second, "accept")

    assert problem(silent)["type"] == "/problems/reason-needed"
    assert newer.status_code == 201
    lines = newer.json()["quote"]["lines"]
    assert (lines[-1]["kind"], lines[-1]["amount"], lines[-1]["note"]) == ("adjustment", -25_000, "a very loyal one")
    assert sum(line["amount"] for line in lines) == newer.json()["quote"]["total"] == 10_000
    assert old.status_code == 410
    assert done.status_code == 200
    states = [(p["state"], p["quote"]["total"]) for p in (await leaving.shown(termination))["proposals"]]
    assert states == [("replaced", 20_000), ("accepted", 10_000)]


async def test_what_was_proposed_is_frozen_in_the_database(leaving: Leaving) -> None:
    (termination,) = await leaving.requested((await leaving.service(), "2026-09-15"))
    await leaving.act(termination, "proposals")

    with pytest.raises(Exception, match="a proposal never changes"):
        await leaving.running.value("update buyout_proposals set valid_until = valid_until + 1 returning 1")


async def test_a_late_proposal_is_overdue_and_a_wish_too_near_is_moved_and_drawn_anew(leaving: Leaving) -> None:
    (termination,) = await leaving.requested((await leaving.service(), "2026-03-10"))
    await leaving.at("2026-03-05T22:59:59Z")
    in_time = (await leaving.shown(termination))["waits"]["overdue"]
    await leaving.at("2026-03-10T09:00:00Z")
    overdue = await leaving.shown(termination)

    near = await leaving.act(termination, "proposals")
    moved = await leaving.act(termination, "proposals", {"last_day": "2026-03-31", "reason": "the day had come"})

    assert (in_time, overdue["waits"]["overdue"]) == (False, True)
    assert len(await leaving.mails(PLATFORM, "Overdue")) == 1
    assert problem(near)["type"] == "/problems/wish-too-near"
    assert problem(near)["earliest"] == "2026-03-11"
    assert (moved.json()["last_day"], moved.json()["quote"]["total"]) == ("2026-03-31", 90_000)


@pytest.mark.parametrize("how", ["decline", "silence"])
async def test_a_proposal_that_comes_to_nothing_asks_once_for_the_regular_end(leaving: Leaving, how: str) -> None:
    (termination,) = await leaving.requested((await leaving.service(), "2026-09-15"))
    await leaving.act(termination, "proposals")
    (link,) = await leaving.links()
    if how == "decline":
        await leaving.press(link, "decline", "too much")
    else:
        await leaving.at("2026-03-16T23:00:00Z")
    asked = await leaving.shown(termination)
    mails = await leaving.mails(CUSTOMER, "Please approve")
    (regular,) = await leaving.links(subject="Please approve")
    done = await leaving.press(regular, "approve")

    assert (asked["state"], asked["last_day"], asked["early"], asked["quote"]["total"]) == (
        "requested",
        "2026-12-31",
        False,
        0,
    )
    assert asked["proposals"][0]["state"] == ("declined" if how == "decline" else "expired")
    assert len(mails) == 1
    assert done.status_code == 200
    assert (await leaving.shown(termination))["state"] == "scheduled"
    assert await leaving.running.published(BuyoutAccepted) == []


async def test_the_regular_end_declined_after_a_proposal_closes_it(leaving: Leaving) -> None:
    (termination,) = await leaving.requested((await leaving.service(), "2026-09-15"))
    await leaving.act(termination, "proposals")
    await leaving.press((await leaving.links())[0], "decline")
    await leaving.press((await leaving.links())[0], "decline")

    shown = await leaving.shown(termination)
    assert (shown["state"], shown["closed_reason"]) == ("closed", "declined")


async def test_force_majeure_goes_to_finance_with_a_draft_of_zero(leaving: Leaving) -> None:
    (termination,) = await leaving.requested((await leaving.service(), "2026-06-30"), reason="force_majeure")

    shown = await leaving.shown(termination)
    proposed = await leaving.act(termination, "proposals")

    assert (shown["state"], shown["quote"]["total"]) == ("proposal_due", 0)
    assert proposed.json()["quote"]["total"] == 0


# -- by hand, and taken back ------------------------------------------------------------------------------


async def test_finance_takes_over_settles_by_hand_and_the_confirmations_are_the_same(leaving: Leaving) -> None:
    (termination,) = await leaving.requested(await leaving.service())
    (link,) = await leaving.links()
    unsettled = await leaving.act(termination, "settle", {"agreed_with": "the director"})
    taken = await leaving.act(termination, "take-over", {"reason": "the director called"})
    dead = await leaving.press(link, "approve")

    settled = await leaving.act(
        termination,
        "settle",
        {"agreed_with": "the director, letter of 3 March", "last_day": "2026-04-30", "amount": 5_000, "reason": "fair"},
    )

    assert problem(unsettled)["type"] == "/problems/not-taken-over"
    assert (taken.json()["state"], taken.json()["waits"]["on"]) == ("by_hand", "finance")
    assert dead.status_code == 409
    assert (settled.json()["state"], settled.json()["last_day"]) == ("scheduled", "2026-04-30")
    [bought] = await leaving.running.published(BuyoutAccepted)
    assert bought.amount.amount == 5_000
    assert len([m for m in await leaving.running.mails() if m["subject"].startswith("Confirmed")]) == 3


async def test_finance_closes_what_it_took_over(leaving: Leaving) -> None:
    (termination,) = await leaving.requested(await leaving.service())
    await leaving.act(termination, "take-over", {"reason": "unclear"})

    closed = await leaving.act(termination, "close", {"reason": "they stay"})

    assert (closed.json()["state"], closed.json()["closed_reason"]) == ("closed", "by_hand")


async def test_the_partner_withdraws_alone_before_the_customer_has_agreed(leaving: Leaving) -> None:
    (termination,) = await leaving.requested(await leaving.service())
    (link,) = await leaving.links()

    done = await leaving.act(termination, "withdraw", {"reason": "a mistake"}, by=PARTNER)
    late = await leaving.press(link, "approve")

    assert (done.json()["state"], done.json()["closed_reason"]) == ("closed", "withdrawn")
    assert late.status_code == 409


async def test_after_that_a_withdrawal_needs_the_customers_approval_and_lifts_the_last_day(leaving: Leaving) -> None:
    contract = await leaving.service()
    (termination,) = await leaving.requested((contract, "2026-09-15"))
    await leaving.act(termination, "proposals")
    await leaving.press((await leaving.links())[0], "accept")

    asked = await leaving.act(termination, "withdraw", {"reason": "they stay"}, by=PARTNER)
    kept = await leaving.press((await leaving.links(subject="after all"))[0], "approve")

    assert (asked.json()["state"], asked.json()["waits"]["withdrawal_until"]) == ("scheduled", "2026-03-16T23:00:00Z")
    assert "goes on" in kept.text
    shown = await leaving.shown(termination)
    assert (shown["state"], shown["closed_reason"]) == ("closed", "withdrawn")
    [closed] = await leaving.running.published(TerminationClosed)
    assert closed.buyout_was_accepted
    service = (await leaving.running.get(f"/v1/service-contracts/{contract}", email=PARTNER)).json()
    assert (service["state"], service["last_day"]) == ("active", None)


@pytest.mark.parametrize("how", ["decline", "silence"])
async def test_a_withdrawal_that_is_not_approved_leaves_the_termination_as_it_stands(
    leaving: Leaving, how: str
) -> None:
    (termination,) = await leaving.requested(await leaving.service())
    await leaving.press((await leaving.links())[0], "approve")
    await leaving.act(termination, "withdraw", {"reason": "they stay"}, by=PARTNER)
    if how == "decline":
        await leaving.press((await leaving.links(subject="after all"))[0], "decline")
    else:
        await leaving.at("2026-03-16T23:00:00Z")

    shown = await leaving.shown(termination)
    await leaving.at("2027-01-01T09:00:00Z")
    assert (shown["state"], shown["waits"]["withdrawal_until"]) == ("scheduled", None)
    assert len(await leaving.mails(PARTNER, "stands")) == 1
    assert (await leaving.shown(termination))["state"] == "ended"


async def test_on_the_last_day_it_can_still_be_withdrawn_and_then_no_more(leaving: Leaving) -> None:
    (termination,) = await leaving.requested(await leaving.service())
    await leaving.press((await leaving.links())[0], "approve")
    await leaving.at("2026-12-31T22:00:00Z")
    on_the_day = await leaving.act(termination, "withdraw", {"reason": "they stay"}, by=PARTNER)
    await leaving.at("2026-12-31T23:00:00Z", run=False)
    after = await leaving.act(termination, "withdraw", {"reason": "they stay"}, by=PARTNER)

    assert on_the_day.json()["waits"]["withdrawal_until"] == "2026-12-31T23:00:00Z"
    assert problem(after)["type"] == "/problems/not-waiting"


# -- a customer's own wish --------------------------------------------------------------------------------


async def test_a_customer_asks_its_partner_submits_and_the_notice_counts_from_the_wish(leaving: Leaving) -> None:
    contract = await leaving.service()
    wished = await leaving.running.post(
        "/v1/termination-wishes", {"contract_ids": [contract], "reason": "cost"}, email=CUSTOMER
    )
    await leaving.at("2026-12-10T09:00:00Z")  # a month's notice no longer fits
    wish = wished.json()["wish_id"]

    (termination,) = await leaving.requested(contract, wish_id=wish)
    again = await leaving.request(contract, wish_id=wish)

    shown = await leaving.shown(termination)
    assert (shown["requested_on"], shown["regular_end"]) == ("2026-03-02", "2026-12-31")
    assert shown["requested_by"].startswith("user:")
    assert problem(again)["type"] == "/problems/wish-not-found"


# -- bad input --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wish", "refusal", "field"),
    [
        ("2025-12-31", "wish-before-start", "services.0.wish_date"),
        ("2026-03-01", "wish-passed", "services.0.wish_date"),
        ("2101-01-01", "wish-too-late", "services.0.wish_date"),
        ("9999-12-31", "wish-too-late", "services.0.wish_date"),
    ],
)
async def test_a_wish_that_cannot_be_is_refused_by_name(leaving: Leaving, wish: str, refusal: str, field: str) -> None:
    refused = problem(await leaving.request((await leaving.service(), wish)))

    assert (refused["type"], refused["field"]) == (f"/problems/{refusal}", field)


@pytest.mark.parametrize("wish", ["2027-02-29", "2026-13-01", "soon", "0000-00-00", 5])
async def test_a_day_that_is_none_is_refused_and_its_field_named(leaving: Leaving, wish: Any) -> None:
    contract = await leaving.service()
    refused = problem(await leaving.request((contract, wish)))

    assert refused["type"] == "/problems/not-understood"
    assert refused["errors"][0]["field"].startswith("services.0.wish_date")


async def test_the_29th_of_february_is_a_day_as_any_other(leaving: Leaving) -> None:
    made = await leaving.request((await leaving.service(), "2028-02-29"))

    assert made.json()["terminations"][0]["last_day"] == "2028-02-29"


async def test_today_is_the_first_day_that_can_be_wished(leaving: Leaving) -> None:
    made = await leaving.request((await leaving.service(), "2026-03-02"))

    assert made.json()["terminations"][0]["state"] == "proposal_due"


async def test_a_second_request_is_refused_and_names_the_open_one(leaving: Leaving) -> None:
    contract, other = await leaving.service(), await leaving.service()
    (termination,) = await leaving.requested(contract)

    refused = problem(await leaving.request(other, contract))
    twice = problem(await leaving.request(other, other))

    assert (refused["type"], refused["termination_id"], refused["field"]) == (
        "/problems/termination-open",
        termination,
        "services.1.contract_id",
    )
    assert twice["type"] == "/problems/service-named-twice"
    assert len((await leaving.running.get("/v1/terminations", email=PARTNER)).json()["items"]) == 1  # all or none


async def test_of_two_requests_at_once_one_is_made(leaving: Leaving) -> None:
    contract = await leaving.service()

    answers = await asyncio.gather(*(leaving.request(contract) for _ in range(6)))

    assert sorted(a.status_code for a in answers) == [201] + [409] * 5
    assert {problem(a)["type"] for a in answers if a.status_code == 409} == {"/problems/termination-open"}
    assert len(await leaving.mails(CUSTOMER, "Please approve")) == 1


async def test_a_customer_without_anybody_to_ask_is_named(contracts: Running) -> None:
    leaving = await Leaving(contracts).begin(admins=False)

    refused = problem(await leaving.request(await leaving.service()))

    assert refused["type"] == "/problems/nobody-to-ask"


async def test_a_forged_or_altered_link_shows_nothing_and_decides_nothing(leaving: Leaving) -> None:
    (termination,) = await leaving.requested(await leaving.service())
    (link,) = await leaving.links()

    answers = [await leaving.press(forged, "approve") for forged in (link[:-2] + "xx", "/links/abc.def", link + "a")]

    assert [a.status_code for a in answers] == [404, 404, 404]
    assert (await leaving.shown(termination))["state"] == "requested"


async def test_a_link_pressed_again_or_by_another_recipient_changes_nothing_more(leaving: Leaving) -> None:
    await leaving.grant(SECOND, "customer_admin", "customer", leaving.customer_id)
    (termination,) = await leaving.requested(await leaving.service())
    (mine,), (theirs,) = await leaving.links(CUSTOMER), await leaving.links(SECOND)

    await leaving.press(mine, "approve")
    version = (await leaving.shown(termination))["version"]
    replays = [await leaving.press(link, action) for link in (mine, theirs) for action in ("approve", "decline")]

    assert [r.status_code for r in replays] == [409] * 4
    assert (await leaving.shown(termination))["version"] == version
    assert len(await leaving.running.published(TerminationScheduled)) == 1


async def test_accepting_and_withdrawing_at_once_ends_one_way_and_says_so(leaving: Leaving) -> None:
    terminations, links = [], []
    for _ in range(6):
        (termination,) = await leaving.requested((await leaving.service(), "2026-09-15"))
        await leaving.act(termination, "proposals")
        terminations.append(termination)
        links += await leaving.links()
    versions = {t: (await leaving.shown(t))["version"] for t in terminations}

    await asyncio.gather(
        *(leaving.press(link, "accept") for link in links),
        *(leaving.act(t, "withdraw", {"reason": "they stay"}, by=PARTNER, version=versions[t]) for t in terminations),
    )

    for termination in terminations:
        shown = await leaving.shown(termination)
        accepted = [e for e in await leaving.running.published(BuyoutAccepted) if str(e.termination_id) == termination]
        if shown["state"] == "closed":
            assert accepted == []
            assert shown["proposals"][0]["state"] == "withdrawn"
        else:
            assert (shown["state"], len(accepted)) == ("scheduled", 1)
            assert shown["waits"]["withdrawal_until"]  # the withdrawal came second, so the customer is asked


async def test_of_two_admins_at_once_the_second_is_told_that_it_changed(leaving: Leaving) -> None:
    (termination,) = await leaving.requested((await leaving.service(), "2026-09-15"))
    version = (await leaving.shown(termination))["version"]

    answers = await asyncio.gather(
        leaving.act(termination, "proposals", {"amount": 1, "reason": "one"}, version=version),
        leaving.act(termination, "proposals", {"amount": 2, "reason": "two"}, version=version),
        leaving.act(termination, "take-over", {"reason": "three"}, version=version),
    )

    assert sorted(a.status_code for a in answers)[1:] == [412, 412]
    assert {problem(a)["type"] for a in answers if a.status_code == 412} == {"/problems/changed"}


# -- who sees what ----------------------------------------------------------------------------------------


async def test_nobody_sees_or_touches_another_tenants_termination(leaving: Leaving) -> None:
    contract = await leaving.service()
    (termination,) = await leaving.requested(contract)
    other = (await leaving.running.post("/v1/partners", {"name": "Other", "wallet": False})).json()["partner_id"]
    await leaving.grant("oz@other.example", "partner_admin", "partner", other)
    foreign = "oz@other.example"

    shown = await leaving.running.get(f"/v1/terminations/{termination}", email=foreign)
    listed = await leaving.running.get("/v1/terminations", email=foreign)
    asked = await leaving.request(contract, by=foreign)
    withdrawn = await leaving.act(termination, "withdraw", {"reason": "x"}, by=foreign, version=2)
    quote = await leaving.running.get(f"/v1/termination-quotes/{contract}", email=foreign)
    document = await leaving.running.get(f"/v1/terminations/{termination}/document", email=foreign)

    assert [a.status_code for a in (shown, asked, withdrawn, quote, document)] == [404] * 5
    assert listed.json()["items"] == []


async def test_a_partner_does_not_propose_and_a_customer_sees_an_early_end_once_it_is_proposed(
    leaving: Leaving,
) -> None:
    (termination,) = await leaving.requested((await leaving.service(), "2026-09-15"))

    by_partner = await leaving.act(termination, "proposals", {}, by=PARTNER)
    before = await leaving.running.get(f"/v1/terminations/{termination}", email=CUSTOMER)
    await leaving.act(termination, "proposals")
    after = await leaving.running.get(f"/v1/terminations/{termination}", email=CUSTOMER)

    assert by_partner.status_code == 403
    assert before.status_code == 404
    assert (after.status_code, after.json()["quote"]["total"]) == (200, 35_000)
    assert "finance_alerted" not in steps(after.json())


async def test_the_documents_are_pdfs_in_the_readers_language(leaving: Leaving) -> None:
    contract = await leaving.service()
    quote = await leaving.running.get(
        f"/v1/termination-quotes/{contract}/document", email=PARTNER, wish_date="2026-09-15", language="nl"
    )
    (termination,) = await leaving.requested((contract, "2026-09-15"))
    documents = [await leaving.running.get(f"/v1/terminations/{termination}/document", email=FINANCE)]
    await leaving.act(termination, "proposals")
    documents.append(await leaving.running.get(f"/v1/terminations/{termination}/document", email=CUSTOMER))

    for answer in (quote, *documents):
        assert answer.headers["content-type"] == "application/pdf"
        assert b"35000" in answer.content
    assert b"Berekening" in quote.content


# -- what is paid, and who has something to do ------------------------------------------------------------


def invoice(contract: str, leaving: Leaving, kind: type[Any] = InvoiceIssued, **more: Any) -> Any:
    """A fact of billing about an invoice of 100.00 for September, or as said."""
    said = {
        "version": 1,
        "invoice_id": uuid7(),
        "number": "2026-1",
        "matter": "fees",
        "customer_id": leaving.customer_id,
        "contract_id": contract,
        "period_from": "2026-09-01",
        "period_to": "2026-09-30",
        **{name: {"amount": amount, "currency": "EUR"} for name, amount in (("net", 10_000), ("vat", 0), ("gross", 0))},
    }
    own: dict[Any, dict[str, Any]] = {
        InvoiceIssued: {"issued_on": "2026-09-01", "due_on": "2026-10-01"},
        InvoicePaid: {"paid": {"amount": 10_000, "currency": "EUR"}, "paid_on": "2026-09-03"},
        InvoiceCredited: {"issued_on": "2026-09-05"},
    }
    return kind(**{**said, **own[kind], **more})


async def test_what_is_paid_for_the_remaining_days_is_set_off_once_whatever_comes_first_or_twice(
    leaving: Leaving,
) -> None:
    contract = await leaving.service()
    paid, unpaid = uuid7(), uuid7()
    facts = [
        invoice(contract, leaving, InvoicePaid, invoice_id=paid),
        invoice(contract, leaving, InvoiceIssued, invoice_id=paid),
        invoice(contract, leaving, InvoiceIssued, invoice_id=unpaid, period_from="2026-10-01", period_to="2026-10-31"),
        invoice(
            contract,
            leaving,
            InvoiceCredited,
            credited_invoice_id=paid,
            net={"amount": 4_000, "currency": "EUR"},
        ),
        invoice(contract, leaving, InvoicePaid, matter="buyout"),
        invoice(contract, leaving, InvoicePaid, payer="partner", partner_id=leaving.partner_id),
    ]
    await leaving.running.deliver(*facts)
    await leaving.running.empty_inbox()
    await leaving.running.deliver(*facts)
    (termination,) = await leaving.requested((contract, "2026-09-15"))
    await leaving.act(termination, "proposals")
    await leaving.press((await leaving.links())[0], "accept")

    [bought] = await leaving.running.published(BuyoutAccepted)
    # Half of September is left of what was paid and not credited: 3,000 of 6,000.
    assert [(s.invoice_id, s.amount.amount, str(s.period_from)) for s in bought.set_off] == [
        (paid, 3_000, "2026-09-16")
    ]
    assert bought.amount.amount == 35_000 - 3_000


async def test_one_off_costs_are_open_until_they_are_invoiced(leaving: Leaving) -> None:
    contract = await leaving.service(one_off=[{"label": "Installation", "amount": 25_000}])
    path = f"/v1/termination-quotes/{contract}"

    before = await leaving.running.get(path, email=PARTNER, wish_date="2026-11-30")
    fact = invoice(contract, leaving, matter="one_off", period_from=None, period_to=None,
                   net={"amount": 20_000, "currency": "EUR"})  # fmt: skip
    await leaving.running.deliver(fact)
    await leaving.running.empty_inbox()
    await leaving.running.deliver(fact)
    after = await leaving.running.get(path, email=PARTNER, wish_date="2026-11-30")

    assert (before.json()["quote"]["total"], after.json()["quote"]["total"]) == (35_000, 15_000)


async def test_whoever_is_waited_for_has_it_on_the_attention_list_until_it_is_done(leaving: Leaving) -> None:
    async def lists() -> list[list[str]]:
        found = []
        for email in (CUSTOMER, FINANCE, PARTNER):
            items = (await leaving.running.get("/v1/attention", email=email)).json()["items"]
            found.append([item["kind"] for item in items if item["kind"].startswith("termination")])
        return found

    contract = await leaving.service()
    wish = await leaving.running.post("/v1/termination-wishes", {"contract_ids": [contract]}, email=CUSTOMER)
    seen = [await lists()]
    (termination,) = await leaving.requested((contract, "2026-09-15"), wish_id=wish.json()["wish_id"])
    seen.append(await lists())
    await leaving.act(termination, "proposals")
    seen.append(await lists())
    await leaving.press((await leaving.links())[0], "decline")
    seen.append(await lists())
    await leaving.press((await leaving.links())[0], "approve")
    seen.append(await lists())

    assert seen == [
        [[], [], ["termination_wished"]],
        [[], ["termination_with_finance"], []],
        [["termination_asked"], [], []],
        [["termination_asked"], [], []],
        [[], [], []],
    ]


async def test_a_day_to_ask_again_is_kept_with_consent_only_and_forgotten_on_request(leaving: Leaving) -> None:
    (termination,) = await leaving.requested(await leaving.service())
    path = f"/v1/terminations/{termination}/ask-again"
    body = {"ask_again_on": "2028-02-29", "agreed_by": "the director", "words": "You may call in 2028."}

    async def edit(method: str, json: Any, email: str) -> Any:
        version = (await leaving.shown(termination))["version"]
        headers = leaving.running.headers(email) | {"If-Match": f'"{version}"'}
        return await leaving.running.http.request(method, path, json=json, headers=headers)

    running = await edit("PUT", body, PARTNER)
    await leaving.press((await leaving.links())[0], "approve")
    await leaving.at("2027-01-01T09:00:00Z")
    soon = await edit("PUT", {**body, "ask_again_on": "2027-01-01"}, PARTNER)
    bare = await edit("PUT", {"ask_again_on": "2028-02-29"}, PARTNER)
    kept = await edit("PUT", body, PARTNER)
    found = await leaving.running.get("/v1/terminations", email=PARTNER, ask_again_until="2028-03-01")
    none_yet = await leaving.running.get("/v1/terminations", email=PARTNER, ask_again_until="2028-02-28")
    forgotten = await edit("DELETE", None, CUSTOMER)

    assert problem(running)["type"] == "/problems/not-ended"
    assert problem(soon)["type"] == "/problems/asked-too-soon"
    assert problem(bare)["type"] == "/problems/not-understood"
    assert (kept.json()["ask_again_on"], kept.json()["consent"]["agreed_by"]) == ("2028-02-29", "the director")
    assert ([len(a.json()["items"]) for a in (found, none_yet)]) == [1, 0]
    assert (forgotten.json()["ask_again_on"], forgotten.json()["consent"]) == (None, None)
