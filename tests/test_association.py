"""A partner admin puts people on courses, paid from the partner's wallet (ENR-5, BIL-1 to BIL-3)."""

import asyncio

from tests.suite import Suite


async def test_a_person_is_enrolled_and_the_credits_are_charged_once(suite: Suite) -> None:
    partner = await suite.partner(credits=10)
    course, person = await suite.course(credits=4), await suite.person(partner)

    answer = await suite.associate(person, course, by=partner["admin"])

    assert answer.status_code == 201, answer.text
    assert answer.json()["state"] == "confirmed"
    wallet = await suite.wallet(partner["partner_id"])
    assert (wallet["available"], wallet["held"], wallet["balance"]) == (6, 0, 6)


async def test_too_few_credits_refuse_with_reason_balance_and_price_and_charge_nothing(suite: Suite) -> None:
    partner = await suite.partner(credits=3)
    course, person = await suite.course(credits=4), await suite.person(partner)

    answer = await suite.associate(person, course, by=partner["admin"])

    assert answer.status_code == 201, answer.text
    body = answer.json()
    assert body["state"] == "refused"
    assert body["problem"]["reason"] == "not_enough_credits"
    assert (body["problem"]["balance"], body["problem"]["price"]) == (3, 4)
    assert (await suite.wallet(partner["partner_id"]))["available"] == 3


async def test_an_empty_wallet_tells_platform_and_each_admin_once_until_it_is_filled(suite: Suite) -> None:
    partner = await suite.partner(credits=4)
    course = await suite.course(credits=4)
    people = [await suite.person(partner) for _ in range(3)]
    first = await suite.associate(people[0], course, by=partner["admin"])
    assert first.json()["state"] == "confirmed"
    for person in people[1:]:
        refused = await suite.associate(person, course, by=partner["admin"])
        assert refused.json()["state"] == "refused"
    await suite.settle()

    to_admin = [m for m in await suite.mails(to=partner["admin"]) if "is empty" in m["subject"]]
    to_platform = [m for m in await suite.mails(to="platform@tandem.example") if partner["name"] in m["subject"]]
    assert (len(to_admin), len(to_platform)) == (1, 1)
    assert (await suite.wallet(partner["partner_id"]))["depleted"]

    await suite.top_up(partner["partner_id"], 10)
    again = await suite.associate(people[1], course, by=partner["admin"])
    assert again.json()["state"] == "confirmed"
    assert not (await suite.wallet(partner["partner_id"]))["depleted"]


async def test_the_same_request_sent_twice_at_once_enrolls_and_charges_once(suite: Suite) -> None:
    partner = await suite.partner(credits=10)
    course, person = await suite.course(credits=4), await suite.person(partner)

    answers = await asyncio.gather(
        *(suite.associate(person, course, by=partner["admin"], key="the-same") for _ in range(5))
    )
    late = await suite.associate(person, course, by=partner["admin"], key="the-same")

    assert {a.status_code for a in answers} <= {201, 409}
    assert late.json()["state"] == "confirmed"
    assert {a.json()["enrollment_id"] for a in answers if a.status_code == 201} == {late.json()["enrollment_id"]}
    assert (await suite.wallet(partner["partner_id"]))["available"] == 6


async def test_seats_never_oversell(suite: Suite) -> None:
    partner = await suite.partner(credits=100)
    course = await suite.course(credits=1, seats=3)
    people = [await suite.person(partner) for _ in range(8)]

    answers = await asyncio.gather(*(suite.associate(p, course, by=partner["admin"]) for p in people))

    states = [a.json().get("state") or a.json()["type"].rsplit("/", 1)[-1] for a in answers]
    assert states.count("confirmed") == 3, states
    assert (await suite.wallet(partner["partner_id"]))["available"] == 97
