"""Answers of billing and the academy, in batches."""

from collections.abc import Sequence

from enrollment.approvals.usecases import ask
from enrollment.enrollments.rules import State
from enrollment.enrollments.usecases import AnswerEvent, take_answers
from enrollment.pace import moment, settings_of
from enrollment.suppliers.usecases import tell
from kit.consumer import batches
from kit.db import Session
from schemas.credits import CreditsCharged, CreditsHeld, CreditsRefused
from schemas.invoice import InvoiceInstructed, InvoiceRefused
from schemas.learning import CourseCompleted


@batches(CreditsHeld, CreditsCharged, CreditsRefused, InvoiceInstructed, InvoiceRefused, CourseCompleted)
async def on_answers(db: Session, events: Sequence[AnswerEvent]) -> None:
    """Confirm, refuse, complete; ask managers and tell suppliers: one transaction, however many came."""
    at = moment(db)
    changes = await take_answers(db, events, at)
    # Held, and perhaps refused by a later record of the same batch: only who still waits is asked about.
    waiting = [e for e in changes.among(changes.held) if e.state is State.REQUESTED]
    await ask(db, waiting, at, support=settings_of(db).platform_email)
    await tell(db, changes.news, changes.among(changes.news), at)
