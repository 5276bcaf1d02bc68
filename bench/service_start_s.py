"""From the start of a service's process until its API is ready, and until its consumer has its partitions.

Each is started alone, on prepared topics and databases, while the other services are down.
"""

import asyncio
import time

import httpx

from bench.results import Result
from bench.world import World

WITHIN_S = 30


async def run(world: World) -> list[Result]:
    services = world.processes.services
    for service in services.values():
        await asyncio.to_thread(service.stop)
    ready, consuming = {}, {}
    for name, service in services.items():
        began = time.perf_counter()
        service.launch()
        ready[name], consuming[name] = await _watch(service.url, began)
        await asyncio.to_thread(service.stop)
    for service in services.values():
        await asyncio.to_thread(service.start)
    return [
        Result("service_start_s", max(ready.values()), "s", target=3, better="less", note=f"API ready: {_all(ready)}"),
        Result(
            "service_consuming_s",
            max(consuming.values()),
            "s",
            target=4,
            better="less",
            note=f"partitions assigned: {_all(consuming)}",
        ),
    ]


async def _watch(url: str, began: float) -> tuple[float, float]:
    """Seconds until ready, and until partitions are assigned."""
    ready = None
    async with httpx.AsyncClient() as http, asyncio.timeout(WITHIN_S):
        while True:
            try:
                answer = await http.get(f"{url}/readyz")
            except httpx.TransportError:
                answer = None
            now = time.perf_counter() - began
            if answer is not None and answer.status_code == 200:
                ready = ready or now
                if answer.json()["partitions_assigned"]:
                    return ready, now
            await asyncio.sleep(0.01)


def _all(found: dict[str, float]) -> str:
    return ", ".join(f"{name} {seconds:.2f}" for name, seconds in found.items())
