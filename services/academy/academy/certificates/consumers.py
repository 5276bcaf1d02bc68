"""What certificates listen to: completions, partners, and people who are erased."""

from collections.abc import Sequence

from academy.certificates.usecases import copy_partners, erase_names, issue_certificates
from kit.consumer import batches, wait_for
from kit.db import Session
from schemas.enrollment import EnrollmentCompleted
from schemas.partner import PartnerChanged
from schemas.person import PersonChanged


@batches(EnrollmentCompleted)
async def on_enrollments_completed(db: Session, events: Sequence[EnrollmentCompleted]) -> list[wait_for]:
    """Issue the certificates that completed courses give."""
    return await issue_certificates(db, events)


@batches(PartnerChanged)
async def on_partners_changed(db: Session, events: Sequence[PartnerChanged]) -> None:
    """Know in whose name to issue."""
    await copy_partners(db, events)


@batches(PersonChanged)
async def on_people_erased(db: Session, events: Sequence[PersonChanged]) -> None:
    """Take erased names off certificates."""
    await erase_names(db, events)
