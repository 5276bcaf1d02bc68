"""One running suite for all stories; each story makes its own partners, people and courses in it."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from stack import processes
from tests.suite import Suite


@pytest.fixture(scope="session")
def running(request: pytest.FixtureRequest, parts: Any) -> Iterator[processes.Suite]:
    with processes.suite(request.config.rootpath / ".stack" / "flows", parts=parts) as running:
        yield running


@pytest.fixture
async def suite(running: processes.Suite) -> AsyncIterator[Suite]:
    suite = Suite(running)
    yield suite
    await suite.aclose()


@pytest.fixture(scope="session")
async def apart(request: pytest.FixtureRequest) -> AsyncIterator[Suite]:
    """Five services on parts of their own, for tests that lose or replace what the others stand on; billing's
    requests and its work are two processes."""
    home = request.config.rootpath / ".stack" / "apart"
    with processes.suite(home, roles={"billing": ["api", "worker"]}) as running:
        suite = Suite(running)
        yield suite
        await suite.aclose()
