"""One pair of real parts for a test session, the helpers of the kit, and logs that no test changes for the next."""

from collections.abc import Iterator

import pytest
import structlog

pytest_plugins = ["kit.testing"]


@pytest.fixture(autouse=True)
def _logs_as_they_were() -> Iterator[None]:
    yield
    structlog.reset_defaults()
