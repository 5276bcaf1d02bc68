"""The overview of a partner with a hundred thousand customers, warm: every filter with every sort, both ways, and
searches; each asked for several times, and the slowest of their medians counts. The counts come with each answer."""

from itertools import product
from statistics import median
from uuid import UUID

from bench.load import get, send
from bench.results import Result
from bench.world import World

CUSTOMERS = 100_000
ASKED = 7
WARM_UP = 3
SORTS = ("name", "framework", "progress", "users", "activities", "attention", "status", "starts_on", "due_on")
FILTERS = (
    "", "&status=trial", "&status=active", "&status=closed", "&needs_attention=true",
    "&status=trial&needs_attention=true",
)  # fmt: skip
SEARCHES = ("&search=zilver", "&search=abc", "&search=a", "&search=kade%2012&status=trial", "&search=nobody")
SEED = """
with made as (insert into customers (id, version, name, status, partner_id, size, language, invoicing, created_at,
    time_zone, trial_held, closed_reason, trial_started_on, trial_ends_on, trial_over_at, subscribed_on, renews_on,
    renews_at)
  select uuidv7(), 1, initcap(md5(n::text)) || ' Kade ' || n, s, $1, 'large', 'en', '{}', now(), 'Europe/Amsterdam',
    false, case when s = 'closed' then 'ended' end, current_date - 10, current_date + 20 + n % 60, '2099-01-01',
    '2026-01-01', date '2099-01-01' + n % 365, '2099-01-01'
  from (select n, (array['trial', 'active', 'active', 'active', 'closed'])[1 + n % 5] as s
    from generate_series(1, $2::int) n) x returning *)
insert into overview (customer_id, partner_id, name, sort_name, time_zone, status, closed_reason, trial_started_on,
  trial_ends_on, subscribed_on, renews_on, framework, progress, users, activities, counted_on, attention)
select id, partner_id, name, lower(name), time_zone, status, closed_reason, trial_started_on, trial_ends_on,
  subscribed_on, renews_on, 'ISO ' || hashtext(name) % 40, abs(hashtext(name)) % 10001, abs(hashtext(name)) % 900,
  abs(hashtext(name)) % 5000, (now() at time zone 'Europe/Amsterdam')::date, (abs(hashtext(name)) % 50 = 0)::int
from made
"""


async def run(world: World) -> list[Result]:
    partner = await world.partner(wallet=False)
    await world.execute("contracts", SEED, UUID(partner["partner_id"]), CUSTOMERS)
    await world.execute("contracts", "vacuum analyze overview")
    url, token = world.urls["contracts"], await world.token(partner["admin"])
    asked = [f"&sort={s}&descending={d}{f}" for s, d, f in product(SORTS, ("false", "true"), FILTERS)]
    asked += [f"&sort={s}{search}" for s, search in product(("name", "users"), SEARCHES)]
    medians = {}
    for query in asked:
        request = get(url, f"/v1/overview?limit=50{query}", token)
        load = await send(url, [request] * (WARM_UP + ASKED), connections=1)
        load.check(200)
        medians[query] = median(load.times_ms[WARM_UP:])
    slowest = max(medians, key=lambda query: medians[query])
    note = (
        f"{len(asked)} ways to ask of {CUSTOMERS:,}; median of all {median(medians.values()):.0f} ms; slowest {slowest}"
    )
    return [Result("overview_p50_ms", medians[slowest], "ms", target=50, better="less", note=note)]
