"""Two ways of doing the same work, measured in turn, so that what else the machine does hits both alike."""

import gc
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from statistics import median

RUNS = 7

Measured = Callable[[], Awaitable[float]]
"""Does the work once and says how many a second it did."""


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rates of ours and of the baseline, pair by pair."""

    rates: list[tuple[float, float]]

    @property
    def ours(self) -> float:
        return median(ours for ours, _ in self.rates)

    @property
    def ratio(self) -> float:
        """The median of the pairs' ratios."""
        return median(ours / baseline for ours, baseline in self.rates)

    @property
    def note(self) -> str:
        ratios = sorted(ours / baseline for ours, baseline in self.rates)
        baseline = median(baseline for _, baseline in self.rates)
        return f"baseline {baseline:,.0f}/s; ratios {ratios[0]:.2f} to {ratios[-1]:.2f} in {len(ratios)} pairs"


async def paired(ours: Measured, baseline: Measured, runs: int = RUNS) -> Pairs:
    """Measure both `runs` times after a warm-up, each going first in every other pair."""
    gc.collect()
    gc.freeze()  # The collector need not look through what the benchmark itself holds, thousands of events.
    await ours()
    await baseline()
    rates = []
    for run in range(runs):
        if run % 2:
            first = await baseline()
            rates.append((await ours(), first))
        else:
            first = await ours()
            rates.append((first, await baseline()))
    return Pairs(rates)
