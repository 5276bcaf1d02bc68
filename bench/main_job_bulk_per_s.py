"""A class of twenty thousand people by one call, until all are confirmed; and what that costs: the CPU time
of services, broker and database together, this client left out."""

import time

from bench.results import Result
from bench.world import PEOPLE, World, per_enrollment


async def run(world: World) -> list[Result]:
    course_id = await world.new_course()
    class_ = {"course_id": course_id, "person_ids": world.people}
    cpu, began = world.cpu_s(), time.perf_counter()
    await world.post("enrollment", "/v1/enrollment-batches", class_, by=world.admin)
    await world.until_confirmed(course_id, PEOPLE)
    took = time.perf_counter() - began
    cpu = world.cpu_s() - cpu
    cpu_ms = cpu.total() * 1000 / PEOPLE
    note = f"{PEOPLE} people in {took:.1f} s"
    return [
        Result("main_job_bulk_per_s", PEOPLE / took, "enrollments/s", target=1_000, note=note),
        Result("cpu_ms_per_enrollment", cpu_ms, "ms", note=f"in bulk; {per_enrollment(cpu, PEOPLE)}"),
    ]
