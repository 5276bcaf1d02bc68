"""A billing service of each test's own, on a real database."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from billing.app import service
from kit.testing import Migrated, Running


@pytest.fixture(scope="session")
def migrated(parts: Any) -> Migrated:
    return Migrated(parts, service)


@pytest.fixture
async def billing(migrated: Migrated) -> AsyncIterator[Running]:
    async with migrated.running() as running:
        yield running


@pytest.fixture(scope="module")
async def shared(migrated: Migrated) -> AsyncIterator[Running]:
    """One service for tests that keep out of each other's way by their ids."""
    async with migrated.running() as running:
        yield running
