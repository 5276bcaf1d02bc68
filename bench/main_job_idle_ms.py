"""One association after the other with `Prefer: wait`, when nothing else happens: from the request to the
answer that says confirmed, through enrollment, Kafka, billing, Kafka and enrollment again."""

from statistics import median, quantiles

import orjson

from bench.load import post, send
from bench.results import Result
from bench.world import World

REQUESTS = 300
WARM_UP = 30


async def run(world: World) -> list[Result]:
    course_id, token = await world.new_course(), await world.token(world.admin)
    url = world.urls["enrollment"]
    wishes = [
        {"person_id": person_id, "course_id": course_id, "way": "associated"}
        for person_id in world.people[: REQUESTS + WARM_UP]
    ]
    requests = [post(url, "/v1/enrollments", token, wish, Prefer="wait=5") for wish in wishes]
    load = await send(url, requests, connections=1)
    if any(orjson.loads(body).get("state") != "confirmed" for body in load.bodies):
        raise RuntimeError(f"not all are confirmed: {load.statuses}; the last said {load.bodies[-1]!r}")
    times_ms = load.times_ms[WARM_UP:]
    note = f"{REQUESTS} one after the other; slowest {max(times_ms):.0f} ms"
    p99 = quantiles(times_ms, n=100)[98]
    return [
        Result("main_job_idle_p50_ms", median(times_ms), "ms", target=40, better="less", note=note),
        Result("main_job_idle_p99_ms", p99, "ms", target=150, better="less", note=note),
    ]
