"""An enrollment service of each test's own, on a real database, with a small world told to it."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from enrollment.app import service
from kit.testing import Migrated, Running
from services.enrollment.tests.world import World


@pytest.fixture(scope="session")
def migrated(parts: Any) -> Migrated:
    return Migrated(parts, service)


@pytest.fixture
async def running(migrated: Migrated) -> AsyncIterator[Running]:
    async with migrated.running() as running:
        yield running


@pytest.fixture
async def world(running: Running) -> World:
    return World(running)
