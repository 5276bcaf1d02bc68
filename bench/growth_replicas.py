"""The CPU time of an enrollment in bulk with four partitions a topic and four workers a service, against one of each.

What the processes use when nothing happens, more of them more, is measured first and left out: it is said beside the
figure. Topics are made before the services are: `topics apply` never changes a partition count.
"""

import asyncio
import time
from dataclasses import replace
from statistics import median

import uvloop

from bench.results import Result
from bench.world import World
from kit import topics
from kit.kafka import Kafka
from schemas.event import all_events
from stack import parts as local
from stack.parts import Parts
from stack.places import HOME
from stack.processes import SERVICES, suite

REPLICAS = 4
RUNS = 3
IDLE_S = 15


def run(parts: Parts) -> list[Result]:
    """Each of the two on a PostgreSQL and a Kafka of its own, as topics cannot lose partitions."""
    one_of_each = uvloop.run(_run(parts, 1))
    with local.running(HOME / "bench-replicas") as fresh:
        found = [one_of_each, uvloop.run(_run(fresh, REPLICAS))]
    (one, idle_one), (many, idle_many) = found
    note = f"{one:.2f} with one of each; medians of {RUNS}; left out: {idle_many} ({idle_one} with one of each)"
    return [Result("growth_replicas_cpu_ms", many, "ms", many / one, 1.2, "less", note)]


async def _run(parts: Parts, number: int) -> tuple[float, str]:
    """CPU milliseconds an enrollment, and whose they are."""
    declared = topics.declared(all_events(), "bench.dlq")
    await topics.apply(Kafka(parts.kafka), [replace(topic, partitions=number) for topic in declared], replication=1)
    roles = {name: ["all", *["worker"] * (number - 1)] for name in SERVICES}
    with suite(HOME / "bench-suite", roles=roles, parts=parts) as processes:
        world = World(processes)
        try:
            await world.populate()
            idle = await _idle(world)
            costs = [await _enroll(world, idle) for _ in range(RUNS)]
        finally:
            await world.aclose()
    return median(costs), f"idle {idle * 100:.0f} % of a core"


async def _idle(world: World) -> float:
    """CPU seconds a second when nothing happens."""
    await world.settle(within_s=300)
    cpu, began = world.cpu_s(), time.perf_counter()
    await asyncio.sleep(IDLE_S)
    return (world.cpu_s() - cpu).total() / (time.perf_counter() - began)


async def _enroll(world: World, idle: float) -> float:
    """CPU milliseconds an enrollment, less what would have been used anyway."""
    course_id = await world.new_course()
    cpu, began = world.cpu_s(), time.perf_counter()
    wish = {"course_id": course_id, "person_ids": world.people}
    await world.post("enrollment", "/v1/enrollment-batches", wish, by=world.admin)
    await world.until_confirmed(course_id, len(world.people))
    used = (world.cpu_s() - cpu).total() - idle * (time.perf_counter() - began)
    return used * 1000 / len(world.people)
