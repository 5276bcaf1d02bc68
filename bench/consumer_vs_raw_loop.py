"""The kit's consumer, inbox and outbox against a loop written by hand for one purpose."""

import uvloop

from bench.consuming import by_hand, by_kit
from bench.pairs import paired
from bench.results import Result
from bench.sample import approved, sample
from bench.wire import send
from stack.parts import Parts

RECORDS = 20_000


def run(parts: Parts) -> list[Result]:
    return uvloop.run(_run(parts))


async def _run(parts: Parts) -> list[Result]:
    events = approved(RECORDS)
    async with sample(parts) as bench:
        await send(bench.kafka, events)

        async def kit() -> float:
            await bench.clear(events)
            return await by_kit(bench, RECORDS)

        async def hand() -> float:
            await bench.clear(events)
            return await by_hand(bench, RECORDS)

        pairs = await paired(kit, hand)
    return [Result("consumer_vs_raw_loop", pairs.ours, "records/s", pairs.ratio, 0.85, note=pairs.note)]
