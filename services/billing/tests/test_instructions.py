"""Instructions on a real database: what is decided at approval, and what becomes of it."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from kit import clock
from kit.testing import Running, problem
from schemas.access import AccessChanged
from schemas.enrollment import (
    EnrollmentApproved,
    EnrollmentCancelled,
    EnrollmentRefused,
    EnrollmentRepriced,
    EnrollmentRequested,
)
from schemas.event import as_json, uuid7
from schemas.invoice import InvoiceInstructed, InvoiceRefused, InvoicingChanged
from schemas.person import PersonChanged
from schemas.values import PriceBreakdown
from services.billing.tests.facts import COMPLETE, billed, customer, supplier


class Sides:
    """A customer and a supplier that billing knows."""

    def __init__(self) -> None:
        self.customer_id = uuid7()
        self.supplier_id = uuid7()

    async def known(self, billing: Running, **of_customer: Any) -> "Sides":
        await billing.deliver(customer(self.customer_id, **of_customer), supplier(self.supplier_id))
        return self

    def approved(self, enrollment_id: UUID, **more: Any) -> EnrollmentApproved:
        return billed(EnrollmentApproved, enrollment_id, self.customer_id, self.supplier_id, **more)

    def cancelled(self, enrollment_id: UUID, **more: Any) -> EnrollmentCancelled:
        return billed(EnrollmentCancelled, enrollment_id, self.customer_id, self.supplier_id, **more)

    def repriced(self, enrollment_id: UUID, price: int, version: int) -> EnrollmentRepriced:
        new = PriceBreakdown(currency="EUR", price=price, discount=0, fee=0)
        return billed(EnrollmentRepriced, enrollment_id, self.customer_id, self.supplier_id, price=new, version=version)


@pytest.fixture
async def sides(billing: Running) -> Sides:
    return await Sides().known(billing)


async def nets(billing: Running) -> list[tuple[int, list[int]]]:
    """Every instruction announced: its revision and amounts."""
    told = await billing.published(InvoiceInstructed)
    return [(e.revision, [invoice.net.amount for invoice in e.invoices]) for e in told]


async def choose(billing: Running, customer_id: UUID, route: str) -> None:
    answer = await billing.http.put(
        f"/v1/customers/{customer_id}/invoicing-route", json={"route": route}, headers=billing.headers()
    )
    assert answer.status_code == 200, answer.text


async def test_the_direct_route_names_parties_amounts_terms_and_reference(billing: Running, sides: Sides) -> None:
    anna = uuid7()

    await billing.deliver(sides.approved(anna))

    [told] = await billing.published(InvoiceInstructed)
    assert (told.enrollment_id, told.revision, told.route) == (anna, 1, "supplier_to_customer")
    assert told.reference.startswith("RF")
    [to_customer, fee] = told.invoices
    assert (to_customer.document, to_customer.net.amount, to_customer.net.currency) == (
        "supplier_invoice",
        92_50,
        "EUR",
    )
    assert (to_customer.seller.id, to_customer.buyer.id) == (sides.supplier_id, sides.customer_id)
    assert (to_customer.buyer.name, to_customer.buyer.vat_id) == ("Example B.V.", "NL123456789B01")
    assert to_customer.buyer.address is not None
    assert to_customer.buyer.address.city == "Utrecht"
    assert (to_customer.term_days, to_customer.collected) == (30, "single")
    assert (fee.document, fee.net.amount, fee.seller.kind, fee.collected) == (
        "platform_fee",
        7_50,
        "platform",
        "monthly",
    )


async def test_the_platform_route_buys_and_sells(billing: Running, sides: Sides) -> None:
    await choose(billing, sides.customer_id, "supplier_to_platform")

    await billing.deliver(sides.approved(uuid7()))

    [told] = await billing.published(InvoiceInstructed)
    assert [(i.document, i.net.amount, i.term_days) for i in told.invoices] == [
        ("purchase", 85_00, 60),
        ("sales", 92_50, 30),
    ]


async def test_choosing_a_route_is_announced_once_and_leaves_what_runs(billing: Running, sides: Sides) -> None:
    anna = uuid7()
    await billing.deliver(sides.approved(anna))

    await choose(billing, sides.customer_id, "supplier_to_platform")
    await choose(billing, sides.customer_id, "supplier_to_platform")
    await billing.deliver(sides.approved(anna))

    [changed] = await billing.published(InvoicingChanged)
    assert (changed.customer_id, changed.version, changed.route) == (sides.customer_id, 1, "supplier_to_platform")
    first, again = await billing.published(InvoiceInstructed)
    assert as_json(first) | {"at": None} == as_json(again) | {"at": None}


async def test_incomplete_details_are_refused_by_name(billing: Running) -> None:
    sides = await Sides().known(billing, invoicing=COMPLETE | {"vat_id": None, "address": None})

    await billing.deliver(sides.approved(uuid7()))

    [refused] = await billing.published(InvoiceRefused)
    assert refused.reason == "invoicing_incomplete"
    assert refused.missing == ["customer.invoicing.address", "customer.invoicing.vat_id"]


async def test_an_enrollment_without_payer_or_price_is_refused_by_name(billing: Running, sides: Sides) -> None:
    await billing.deliver(
        billed(EnrollmentApproved, uuid7(), None, sides.supplier_id), sides.approved(uuid7(), price=None)
    )

    assert [e.missing for e in await billing.published(InvoiceRefused)] == [["customer"], ["price"]]


async def test_an_approval_waits_for_a_customer_and_a_supplier_that_have_not_come(billing: Running) -> None:
    sides, anna = Sides(), uuid7()
    await billing.deliver(sides.approved(anna))
    await billing.deliver(customer(sides.customer_id))
    assert await billing.published(InvoiceInstructed) == []
    assert (await billing.get(f"/v1/instructions/{anna}")).json()["state"] == "new"

    await billing.deliver(supplier(sides.supplier_id))

    assert await nets(billing) == [(1, [92_50, 7_50])]
    assert await billing.rows("select 1 from waiting") == []


async def test_an_approval_that_meets_its_customer_coming_is_not_forgotten(billing: Running) -> None:
    for _ in range(8):
        sides = Sides()
        await billing.deliver(supplier(sides.supplier_id))
        await asyncio.gather(billing.deliver(sides.approved(uuid7())), billing.deliver(customer(sides.customer_id)))

    # The one that missed the other by a moment wakes by itself.
    await billing.service.inbox.look_again(clock.now() + timedelta(minutes=1))

    assert len(await billing.published(InvoiceInstructed)) == 8


async def test_a_cancellation_withdraws_the_instruction_with_amounts_of_zero(billing: Running, sides: Sides) -> None:
    anna = uuid7()
    await billing.deliver(sides.approved(anna))

    await billing.deliver(sides.cancelled(anna), sides.approved(anna))

    assert await nets(billing) == [(1, [92_50, 7_50]), (2, [0, 0])]
    assert (await billing.published(InvoiceInstructed))[1].withdrawn
    assert (await billing.get(f"/v1/instructions/{anna}")).json()["state"] == "withdrawn"


async def test_a_cancellation_that_keeps_a_part_instructs_that_part(billing: Running, sides: Sides) -> None:
    anna = uuid7()
    await billing.deliver(sides.approved(anna))

    kept = PriceBreakdown(currency="EUR", price=50_00, discount=7_50, fee=3_75)
    await billing.deliver(sides.cancelled(anna, price_kept=kept))

    told = (await billing.published(InvoiceInstructed))[1]
    assert (told.revision, told.withdrawn) == (2, False)
    assert [invoice.net.amount for invoice in told.invoices] == [46_25, 3_75]


async def test_an_approval_after_its_cancellation_instructs_nothing(billing: Running, sides: Sides) -> None:
    anna = uuid7()

    await billing.deliver(sides.cancelled(anna))
    await billing.deliver(sides.approved(anna))

    assert await billing.everything_published() == []


async def test_an_enrollment_refused_as_stuck_withdraws_its_instruction(billing: Running, sides: Sides) -> None:
    anna = uuid7()
    await billing.deliver(sides.approved(anna))

    await billing.deliver(billed(EnrollmentRefused, anna, sides.customer_id, sides.supplier_id))

    assert await nets(billing) == [(1, [92_50, 7_50]), (2, [0, 0])]


async def test_a_changed_price_replaces_the_instruction_and_an_older_one_does_not(
    billing: Running, sides: Sides
) -> None:
    anna = uuid7()
    await billing.deliver(sides.approved(anna))

    await billing.deliver(sides.repriced(anna, 80_00, version=5))
    await billing.deliver(sides.repriced(anna, 70_00, version=4))

    assert await nets(billing) == [(1, [92_50, 7_50]), (2, [80_00, 0])]


async def test_a_changed_price_that_overtakes_the_approval_is_the_one_instructed(
    billing: Running, sides: Sides
) -> None:
    anna = uuid7()

    await billing.deliver(sides.repriced(anna, 80_00, version=5))
    await billing.deliver(sides.approved(anna, version=2))

    assert await nets(billing) == [(1, [80_00, 0])]


async def test_prices_changed_by_several_consumers_at_once_end_with_the_newest(billing: Running, sides: Sides) -> None:
    anna = uuid7()
    await billing.deliver(sides.approved(anna))

    changes = [sides.repriced(anna, version * 10_00, version) for version in range(2, 8)]
    await asyncio.gather(*(billing.deliver(change) for change in changes))

    told = await nets(billing)
    assert [revision for revision, _ in told] == list(range(1, len(told) + 1))
    assert told[-1][1] == [70_00, 0]


async def test_what_needs_no_invoice_gets_no_instruction(billing: Running, sides: Sides) -> None:
    await billing.deliver(
        sides.approved(uuid7(), payment="none"),
        billed(EnrollmentRequested, uuid7(), sides.customer_id, sides.supplier_id),
    )

    assert await billing.everything_published() == []
    assert (await billing.get("/v1/instructions")).json()["items"] == []


async def test_replaying_everything_with_an_empty_inbox_changes_nothing(billing: Running) -> None:
    sides, anna, bram = Sides(), uuid7(), uuid7()
    story = [
        customer(sides.customer_id),
        supplier(sides.supplier_id),
        sides.approved(anna, version=2),
        sides.repriced(anna, 80_00, version=3),
        sides.cancelled(anna, version=4),
        sides.approved(bram, version=2),
    ]
    await billing.deliver(*story)
    before = await billing.rows("select * from instructions order by 1")

    await billing.empty_inbox()
    await billing.deliver(*story)
    await billing.empty_inbox()
    await billing.deliver(*reversed(story))

    assert await billing.rows("select * from instructions order by 1") == before


async def test_each_side_sees_the_invoices_it_is_a_side_of(billing: Running, sides: Sides) -> None:
    partner_id, anna, other = uuid7(), uuid7(), await Sides().known(billing)
    await billing.deliver(customer(sides.customer_id, 2, partner_id=partner_id))
    await choose(billing, sides.customer_id, "supplier_to_platform")
    await billing.deliver(sides.approved(anna, partner_id=partner_id), other.approved(uuid7()))
    tenants = [
        ("customer", sides.customer_id, "hr", ["sales"]),
        ("supplier", sides.supplier_id, "supplier_user", ["purchase"]),
        ("partner", partner_id, "partner_admin", ["sales"]),
    ]
    for kind, tenant_id, role, documents in tenants:
        email = f"{role}@example.com"
        await billing.deliver(
            AccessChanged(grant_id=uuid7(), version=1, role=role, tenant_kind=kind, tenant_id=tenant_id, email=email)
        )

        [seen] = (await billing.get("/v1/instructions", email=email)).json()["items"]

        assert seen["enrollment_id"] == str(anna)
        assert [invoice["document"] for invoice in seen["invoices"]] == documents

    answer = await billing.get(f"/v1/instructions/{anna}", email="hr@example.com")
    assert answer.status_code == 200
    assert len((await billing.get("/v1/instructions")).json()["items"]) == 2
    found = await billing.get("/v1/instructions", customer_id=str(other.customer_id), state="instructed")
    assert len(found.json()["items"]) == 1


async def test_a_suppliers_users_see_its_instructions_for_as_long_as_it_names_them(
    billing: Running, sides: Sides
) -> None:
    ann, bob = ({"user_id": uuid7(), "email": f"{name}@supplier.example"} for name in ("Ann", "bob"))
    both = supplier(sides.supplier_id, 2, users=[ann, bob])
    without = supplier(sides.supplier_id, 3, users=[ann])
    await billing.deliver(sides.approved(uuid7()), both)
    [seen] = (await billing.get("/v1/instructions", email="ann@supplier.example")).json()["items"]
    assert seen["supplier_id"] == str(sides.supplier_id)

    await billing.deliver(without)
    assert await granted(billing) == ["ann@supplier.example"]
    await billing.empty_inbox()
    await billing.deliver(both)  # told again, too late
    assert await granted(billing) == ["ann@supplier.example"]

    await billing.deliver(supplier(sides.supplier_id, 4, users=[ann, bob]))
    assert await granted(billing) == ["ann@supplier.example", "bob@supplier.example"]
    await billing.deliver(supplier(sides.supplier_id, 5, users=[ann], status="closed"))
    assert await granted(billing) == []
    assert await billing.value("select count(*) from grants where email is not null") == 0


async def test_hr_and_admins_of_a_customer_see_its_instructions_for_as_long_as_they_are(
    billing: Running, sides: Sides
) -> None:
    hana = {"person_id": uuid7(), "email": "Hana@customer.example", "customer_id": sides.customer_id}
    learner = PersonChanged(person_id=uuid7(), version=1, email="lea@customer.example", customer_id=sides.customer_id)
    await billing.deliver(
        sides.approved(uuid7()), learner, PersonChanged(**hana, version=1, roles=["hr", "customer_admin"])
    )
    [seen] = (await billing.get("/v1/instructions", email="hana@customer.example")).json()["items"]
    assert seen["customer_id"] == str(sides.customer_id)
    assert await granted(billing) == 2 * ["hana@customer.example"]
    assert await billing.value("select count(*) from grants where email like 'lea@%'") == 0

    await billing.deliver(PersonChanged(**hana, version=2, roles=["customer_admin", "manager"]))
    assert await granted(billing) == ["hana@customer.example"]
    await billing.deliver(PersonChanged(**hana, version=3, roles=["customer_admin"], status="left"))
    assert await granted(billing) == []
    assert await billing.value("select count(*) from grants where email is not null") == 0


async def granted(billing: Running) -> list[str]:
    """The addresses that are let in, once for each of their roles."""
    return [row["email"] for row in await billing.rows("select email from grants where status = 'active' order by 1")]


async def test_an_instruction_of_others_is_not_found(billing: Running, sides: Sides) -> None:
    anna = uuid7()
    await billing.deliver(
        sides.approved(anna),
        AccessChanged(
            grant_id=uuid7(),
            version=1,
            role="hr",
            tenant_kind="customer",
            tenant_id=uuid7(),
            email="hr@elsewhere.example",
        ),
    )

    answer = await billing.get(f"/v1/instructions/{anna}", email="hr@elsewhere.example")

    assert problem(answer)["type"] == "/problems/instruction-not-found"


async def test_a_route_is_chosen_by_staff_for_a_customer_that_exists(billing: Running, sides: Sides) -> None:
    path = f"/v1/customers/{sides.customer_id}/invoicing-route"

    default = await billing.get(path)
    unknown = await billing.http.put(
        f"/v1/customers/{uuid7()}/invoicing-route",
        json={"route": "supplier_to_platform"},
        headers=billing.headers(),
    )
    wrong = await billing.http.put(path, json={"route": "by_pigeon"}, headers=billing.headers())

    assert default.json() == {
        "customer_id": str(sides.customer_id),
        "route": "supplier_to_customer",
        "chosen": False,
    }
    assert problem(unknown)["type"] == "/problems/customer-not-found"
    assert [error["field"] for error in problem(wrong)["errors"]] == ["route"]
