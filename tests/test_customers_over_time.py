"""A partner, its people and its customers across the suite: access within a second, and years in a moment."""

from datetime import UTC, datetime, timedelta
from uuid import uuid4

from kit.testing import eventually
from tests.suite import Suite

READS = {
    "catalog": "/v1/courses",
    "enrollment": "/v1/people",
    "billing": "/v1/wallets/{partner}",
    "contracts": "/v1/customers",
    "academy": "/v1/certificates",
}
"""Something in each service that a partner's admin may look at."""


async def until(suite: Suite, email: str, partner: str, allowed: bool) -> None:
    """Wait until every service lets somebody in, or no longer does."""

    async def in_all() -> bool:
        answers = [
            await suite.call("GET", service, path.format(partner=partner), by=email) for service, path in READS.items()
        ]
        return all((answer.status_code == 200) == allowed for answer in answers)

    await eventually(in_all, within_s=60)


async def test_a_grant_and_its_end_reach_every_service(suite: Suite) -> None:
    """Within a second on a quiet machine; the bound here leaves room for a busy one."""
    partner = await suite.partner(wallet=True)
    email = f"new-{uuid4().hex[:8]}@partner.example"
    partner_id = partner["partner_id"]

    grant = await suite.post("contracts", f"/v1/partners/{partner_id}/admins", {"email": email, "name": "Nina New"})
    await until(suite, email, partner_id, allowed=True)
    await suite.call("DELETE", "contracts", f"/v1/grants/{grant['grant_id']}")
    await until(suite, email, partner_id, allowed=False)

    assert email in str(await suite.mail(to=email))


async def test_a_trial_runs_out_as_soon_as_the_partners_clock_says_so(suite: Suite) -> None:
    partner = await suite.partner(wallet=False)
    start = datetime(2027, 3, 1, 12, tzinfo=UTC)
    clock = {"tenant_kind": "partner", "tenant_id": partner["partner_id"], "time": start.isoformat()}
    await suite.post("contracts", "/v1/test-clocks", clock)
    trial = await suite.customer(partner=partner, status="trial", trial_days=30)
    lasting = await suite.customer(partner=partner, status="trial", trial_days=366)

    later = (start + timedelta(days=200)).isoformat()
    await suite.post("contracts", f"/v1/test-clocks/{partner['partner_id']}/advance", {"time": later})

    wanted = {trial["customer_id"]: "closed", lasting["customer_id"]: "trial"}

    async def as_wanted() -> bool:
        found = await suite.get("contracts", "/v1/overview", by=partner["admin"])
        return {line["customer_id"]: line["status"] for line in found["items"]} == wanted

    await eventually(as_wanted, within_s=60)
    await suite.settle()
    items = await suite.get("contracts", "/v1/attention", by=partner["admin"])
    assert items["items"] == []
