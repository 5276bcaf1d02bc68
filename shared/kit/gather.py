"""Letting small batches grow while records come steadily, so that each transaction carries more of them."""

import asyncio
import time


class Gather:
    """A short pause before the next batch, where the last one has just been and was small, but not alone.

    One record at a time never waits, so a lone request is answered as soon as can be; nor does a full
    batch, so a backlog is worked off at full speed. In between, many callers at once, a few milliseconds
    save most of the round trips.
    """

    def __init__(self, pause_s: float, enough: int) -> None:
        self._pause_s = pause_s
        self._enough = enough
        self._until = 0.0

    async def pause(self) -> None:
        """Wait where more is likely to come."""
        if time.monotonic() < self._until:
            await asyncio.sleep(self._pause_s)

    def took(self, records: int) -> None:
        """Remember the batch that was just taken."""
        if records:
            self._until = time.monotonic() + 2 * self._pause_s if 1 < records < self._enough else 0.0
