"""Parts of our own: these tests kill and restart them."""

from collections.abc import Iterator

import pytest

from stack.parts import Parts, running
from stack.places import HOME


@pytest.fixture(scope="session")
def own_parts() -> Iterator[Parts]:
    with running(HOME / "test-stack") as parts:
        yield parts
