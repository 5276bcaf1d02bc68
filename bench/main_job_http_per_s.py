"""Associations by HTTP, one request each and not waiting for the outcome, until all are confirmed:
five services, broker, databases and the client share this machine."""

import time
from statistics import median

from bench.load import post, send
from bench.results import Result
from bench.world import World, per_enrollment

REQUESTS = 3_000
WARM_UP = 200
CONNECTIONS = 32


async def run(world: World) -> list[Result]:
    await associate(world, WARM_UP)
    cpu, client, began = world.cpu_s(), time.process_time(), time.perf_counter()
    times_ms = await associate(world, REQUESTS)
    took = time.perf_counter() - began
    cpu, client = world.cpu_s() - cpu, time.process_time() - client
    note = (
        f"{REQUESTS} over {CONNECTIONS} connections, answered in {median(times_ms):.0f} ms p50;"
        f" {per_enrollment(cpu, REQUESTS)}, client {client * 1000 / REQUESTS:.2f}"
    )
    return [Result("main_job_http_per_s", REQUESTS / took, "enrollments/s", target=300, note=note)]


async def associate(world: World, number: int) -> list[float]:
    """Put so many people on a new course, until all are confirmed; how long each request took."""
    course_id, token = await world.new_course(), await world.token(world.admin)
    url = world.urls["enrollment"]
    requests = [
        post(url, "/v1/enrollments", token, {"person_id": p, "course_id": course_id, "way": "associated"})
        for p in world.people[:number]
    ]
    load = await send(url, requests, CONNECTIONS)
    load.check()
    await world.until_confirmed(course_id, number)
    return load.times_ms
