"""When the next batch waits for company."""

import time

import pytest

from kit.gather import Gather


@pytest.mark.parametrize(
    ("took", "waits"),
    [
        (None, False),  # nothing was taken yet
        (0, False),
        (1, False),  # a lone request is not kept
        (2, True),
        (99, True),
        (100, False),  # a backlog is worked off at full speed
        (500, False),
    ],
)
async def test_only_a_small_batch_that_was_not_alone_makes_the_next_one_wait(took: int | None, waits: bool) -> None:
    gather = Gather(0.05, enough=100)
    if took is not None:
        gather.took(took)
    began = time.monotonic()

    await gather.pause()

    assert (time.monotonic() - began >= 0.05) == waits
