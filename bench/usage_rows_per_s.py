"""Use reported in bulk: ten thousand customers, a day of each in one call, as applications do by night."""

import time
from datetime import UTC, datetime, timedelta
from uuid import UUID

import orjson

from bench.load import post_body, send
from bench.overview_p50_ms import SEED
from bench.results import Result
from bench.world import World

CUSTOMERS = 10_000
CALLS = 6
ROWS = 10_000


async def run(world: World) -> list[Result]:
    partner = await world.partner(wallet=False)
    await world.execute("contracts", SEED, UUID(partner["partner_id"]), CUSTOMERS)
    await world.execute("contracts", "analyze overview")
    found = await world.rows("contracts", "select id from customers where partner_id = $1", UUID(partner["partner_id"]))
    customers = [str(row["id"]) for row in found]
    url, token = world.urls["contracts"], await world.token(partner["admin"])
    today = datetime.now(UTC).date()
    # A day of every customer a call, as an application reports it by night; the last call corrects the first.
    calls = [_call(customers, str(today - timedelta(days=1 + n % (CALLS - 1))), n // (CALLS - 1)) for n in range(CALLS)]
    requests = [post_body(url, "/v1/usage", token, body, "application/x-ndjson") for body in calls]
    began = time.perf_counter()
    load = await send(url, requests, connections=1)
    took = time.perf_counter() - began
    load.check(200)
    answers = [orjson.loads(body) for body in load.bodies]
    if [a["new"] for a in answers] != [ROWS] * (CALLS - 1) + [0] or answers[-1]["corrected"] != ROWS:
        raise RuntimeError(f"not all were taken: {answers}")
    note = f"{CALLS} calls one after the other, {ROWS:,} rows each, with users and a framework; the last one corrects"
    return [Result("usage_rows_per_s", CALLS * ROWS / took, "rows/s", target=5_000, note=note)]


def _call(customers: list[str], day: str, revision: int) -> bytes:
    return b"\n".join(
        orjson.dumps(
            {
                "customer_id": customer,
                "day": day,
                "source": "desk",
                "activities": 10 + revision,
                "users": n % 900,
                "frameworks": [{"name": f"ISO {n % 40}", "progress_percent": n % 100}],
                "revision": revision,
            }
        )
        for n, customer in enumerate(customers)
    )
