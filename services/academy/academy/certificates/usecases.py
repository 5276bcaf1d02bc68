"""Issuing certificates once, showing them to whom they concern, verifying and revoking them."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

from sqlalchemy import Select, func, select, text, update
from sqlalchemy.dialects.postgresql import insert

from academy.certificates.rows import Certificate, KnownPartner
from academy.certificates.rules import NotANumber, new_number, read_number
from academy.certificates.words import MAIL_SUBJECT, MAIL_TEXT, spoken
from academy.learners.usecases import may_see, people_by_id
from academy.learnings.usecases import courses_by_id
from academy.settings import Settings
from kit import audit, mail, outbox
from kit.auth import Caller
from kit.consumer import arrived, wait_for
from kit.db import SETTINGS, Session, upsert_newer, uuid7
from kit.problems import Refused
from schemas.enrollment import EnrollmentCompleted
from schemas.learning import CertificateIssued, CertificateRevoked
from schemas.partner import PartnerChanged
from schemas.person import PersonChanged

WAIT_S_MAX = 7 * 24 * 3600
"""How long a completion waits to hear of its course, person or partner before it is parked."""


class CertificateNotFound(Refused):
    """No such certificate."""

    status = 404


class AlreadyRevoked(Refused):
    """The certificate was revoked before, for another reason."""

    rule = "ACA-6"


# -- issuing ----------------------------------------------------------------------------------------------


async def issue_certificates(db: Session, events: Sequence[EnrollmentCompleted]) -> list[wait_for]:
    """One certificate for each completed enrollment that gives one, in the same few statements however many.

    An enrollment that has one gets no other, and no second mail. Returns the completions that came
    before the course, person or partner they speak of.
    """
    wanted = {e.enrollment_id: e for e in events if e.certificate}
    issued = await db.scalars(select(Certificate.enrollment_id).where(Certificate.enrollment_id.in_(wanted.keys())))
    for enrollment_id in issued:
        del wanted[enrollment_id]
    if not wanted:
        return []
    settings: Settings = db.info[SETTINGS]
    courses = await courses_by_id(db, (e.course_id for e in wanted.values()))
    people = await people_by_id(db, (e.person_id for e in wanted.values()))
    partners = await _partners_by_id(db, (e.partner_id for e in wanted.values() if e.partner_id))
    early: list[wait_for] = []
    rows: list[dict[str, Any]] = []
    # In one order everywhere, so that two replicas wait for each other instead of dead-locking.
    for event in sorted(wanted.values(), key=lambda e: e.enrollment_id):
        course, person = courses.get(event.course_id), people.get(event.person_id)
        partner = partners.get(event.partner_id) if event.partner_id else None
        if course is None:
            early.append(wait_for(event, f"course/{event.course_id}", WAIT_S_MAX))
        elif person is None:
            early.append(wait_for(event, f"person/{event.person_id}", WAIT_S_MAX))
        elif event.partner_id is not None and partner is None:
            early.append(wait_for(event, f"partner/{event.partner_id}", WAIT_S_MAX))
        else:
            whitelabel = partner is not None and partner.kind == "whitelabel"
            rows.append(
                {
                    "id": uuid7(),
                    "version": 1,
                    "number": new_number(),
                    **{name: getattr(event, name) for name in ("enrollment_id", "person_id", "course_id")},
                    **{name: getattr(event, name) for name in ("partner_id", "customer_id")},
                    "name": person.name,
                    "course_title": course.title,
                    "completed_on": event.completed_at.astimezone(ZoneInfo(settings.time_zone)).date(),
                    "issuer": partner.name if partner and whitelabel else settings.issuer_name,
                    "language": spoken(course.language),
                }
            )
    made = insert(Certificate).values(issued_at=func.now()).on_conflict_do_nothing(index_elements=["enrollment_id"])
    if rows:
        certificates = (await db.scalars(made.returning(Certificate), rows)).all()
        await _announce(db, certificates, settings)
        letters = [(c, people[c.person_id]) for c in certificates]
        await mail.send_many(db, [_letter(c, p.email, spoken(p.language), settings) for c, p in letters if p.email])
    return early


async def copy_partners(db: Session, events: Sequence[PartnerChanged]) -> None:
    """Keep in whose name whitelabel partners issue."""
    rows = [{"id": e.partner_id, "version": e.version, "name": e.name, "kind": e.kind} for e in events]
    await upsert_newer(db, KnownPartner, rows)
    arrived(db, *(f"partner/{e.partner_id}" for e in events))


async def erase_names(db: Session, events: Sequence[PersonChanged]) -> None:
    """Take erased people's names off their certificates, which stay verifiable by number."""
    erased = [e.person_id for e in events if e.status == "erased"]
    if erased:
        theirs = (Certificate.person_id.in_(erased), Certificate.name.is_not(None))
        await db.execute(update(Certificate).where(*theirs).values(name=None, version=Certificate.version + 1))


def address_of(number: str, settings: Settings) -> str:
    """The public page of a certificate."""
    return f"{settings.base_url.rstrip('/')}/certificates/{number}"


async def _partners_by_id(db: Session, ids: Iterable[UUID]) -> dict[UUID, KnownPartner]:
    found = await db.scalars(select(KnownPartner).where(KnownPartner.id.in_(set(ids))))
    return {partner.id: partner for partner in found}


async def _announce(db: Session, certificates: Sequence[Certificate], settings: Settings) -> None:
    for certificate in certificates:
        outbox.add(
            db,
            CertificateIssued(
                certificate_id=certificate.id,
                version=certificate.version,
                number=certificate.number,
                enrollment_id=certificate.enrollment_id,
                person_id=certificate.person_id,
                course_id=certificate.course_id,
                partner_id=certificate.partner_id,
                customer_id=certificate.customer_id,
                issued_at=certificate.issued_at,
                verify_url=address_of(certificate.number, settings),
            ),
        )


def _letter(certificate: Certificate, to: str, language: str, settings: Settings) -> mail.Mail:
    said = {
        "name": certificate.name or to,
        "course": certificate.course_title,
        "number": certificate.number,
        "url": address_of(certificate.number, settings),
        "issuer": certificate.issuer,
    }
    return mail.Mail(
        to=to,
        subject=MAIL_SUBJECT[language].format(**said),
        text=MAIL_TEXT[language].format(**said),
        matter=f"enrollment/{certificate.enrollment_id}",
        event="certificate.issued",
    )


# -- showing ----------------------------------------------------------------------------------------------


def seen_by(caller: Caller) -> Select[Certificate]:
    """The certificates a caller may see."""
    visible = may_see(
        caller,
        person_id=Certificate.person_id,
        partner_id=Certificate.partner_id,
        customer_id=Certificate.customer_id,
    )
    return select(Certificate).where(visible)


async def find_certificate(db: Session, caller: Caller, typed: str, *, lock: bool = False) -> Certificate:
    """The certificate of a number, if the caller may see it. Raises `CertificateNotFound`."""
    try:
        query = seen_by(caller).where(Certificate.number == read_number(typed))
    except NotANumber as wrong:
        raise CertificateNotFound(typed) from wrong
    certificate = await db.scalar(query.with_for_update() if lock else query)
    if certificate is None:
        raise CertificateNotFound(typed)
    return certificate


async def verify(db: Session, number: str) -> Certificate | None:
    """The certificate that anyone who has its number may verify."""
    query = select(Certificate).from_statement(text("select * from certificate_to_verify(:number)"))
    found: Certificate | None = await db.scalar(query, {"number": number})
    return found


# -- revoking ---------------------------------------------------------------------------------------------


async def revoke_certificate(db: Session, number: str, reason: str, *, caller: Caller, now: datetime) -> Certificate:
    """End a certificate, for a reason that its page shows; asking again changes nothing.

    Raises `CertificateNotFound`, `AlreadyRevoked`.
    """
    certificate = await find_certificate(db, caller, number, lock=True)
    if certificate.revoked_at is not None:
        if certificate.revoked_reason != reason:
            raise AlreadyRevoked(certificate.number, reason=certificate.revoked_reason)
        return certificate
    certificate.revoked_at = now
    certificate.revoked_by = caller.actor
    certificate.revoked_reason = reason
    certificate.version += 1
    outbox.add(
        db,
        CertificateRevoked(
            certificate_id=certificate.id,
            version=certificate.version,
            at=now,
            number=certificate.number,
            enrollment_id=certificate.enrollment_id,
            reason=reason,
        ),
    )
    subject = f"certificate/{certificate.id}"
    await audit.record(db, caller.actor, "certificate.revoked", subject=subject, detail={"reason": reason})
    return certificate
