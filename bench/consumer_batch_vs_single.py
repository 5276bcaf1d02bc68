"""What batches bring: the same consumer, handler and statements with up to 1,000 records a transaction,
and with one."""

import uvloop

from bench.consuming import by_kit
from bench.pairs import paired
from bench.results import Result
from bench.sample import approved, sample
from bench.wire import send
from stack.parts import Parts

RECORDS = 20_000
SINGLE_RECORDS = 500


def run(parts: Parts) -> list[Result]:
    return uvloop.run(_run(parts))


async def _run(parts: Parts) -> list[Result]:
    events = approved(RECORDS)
    async with sample(parts) as bench:
        await send(bench.kafka, events)

        async def batches() -> float:
            await bench.clear(events)
            return await by_kit(bench, RECORDS)

        async def single() -> float:
            await bench.clear(events)
            return await by_kit(bench, SINGLE_RECORDS, batch_max=1)

        pairs = await paired(batches, single, runs=3)
    return [Result("consumer_batch_vs_single", pairs.ours, "records/s", pairs.ratio, 40, note=pairs.note)]
