"""Resident memory of each service, role `all`, with the demo's data set loaded through the APIs and after the
work of the benchmarks before it, once all is quiet."""

from bench.results import Result
from bench.world import World
from demo import load
from demo.__main__ import folder


async def run(world: World) -> list[Result]:
    await load.everything(world, folder())
    await world.settle(within_s=300)
    found = {}
    for name, service in world.processes.services.items():
        process = service.process().process
        if process is None:
            raise RuntimeError(f"{name} has ended")
        found[name] = process.memory_info().rss / 2**20
    note = ", ".join(f"{name} {mb:.0f}" for name, mb in found.items())
    return [Result("service_idle_mb", max(found.values()), "MB", target=170, better="less", note=note)]
