"""People, as enrollment announces them."""

from collections.abc import Sequence

from academy.learners.usecases import copy_people
from kit.consumer import batches
from kit.db import Session
from schemas.person import PersonChanged


@batches(PersonChanged)
async def on_people_changed(db: Session, events: Sequence[PersonChanged]) -> None:
    """Keep who learns, under what name, and where."""
    await copy_people(db, events)
