"""An academy of each test's own, on a real database."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from academy.app import service
from kit.testing import Migrated, Running


@pytest.fixture(scope="session")
def migrated(parts: Any) -> Migrated:
    return Migrated(parts, service)


@pytest.fixture
async def academy(migrated: Migrated) -> AsyncIterator[Running]:
    async with migrated.running() as running:
        yield running
