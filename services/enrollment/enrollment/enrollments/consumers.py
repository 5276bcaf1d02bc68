"""Answers of billing and the academy, in batches."""

from collections.abc import Sequence

from enrollment.enrollments.usecases import AnswerEvent, take_answers
from enrollment.pace import moment
from kit.consumer import batches
from kit.db import Session
from schemas.credits import CreditsCharged, CreditsHeld, CreditsRefused
from schemas.invoice import InvoiceInstructed, InvoiceRefused
from schemas.learning import CourseCompleted


@batches(CreditsHeld, CreditsCharged, CreditsRefused, InvoiceInstructed, InvoiceRefused, CourseCompleted)
async def on_answers(db: Session, events: Sequence[AnswerEvent]) -> None:
    """Confirm, refuse, complete; ask managers and tell suppliers: one transaction, however many came."""
    await take_answers(db, events, moment(db))
