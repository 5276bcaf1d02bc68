"""Telling suppliers: everything they need to teach a participant and to send the right invoice (ENR-7)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from uuid import UUID

from sqlalchemy import text

from enrollment.enrollments.rules import Enrollment, State
from enrollment.moment import Moment
from enrollment.money import readable
from enrollment.suppliers.words import words_in
from kit import links, mail
from kit.db import Session
from schemas.invoice import InstructedInvoice, InvoiceInstructed
from schemas.values import Party

PURPOSE = "supplier"
LINK_DAYS = 365
"""How long a supplier's link to an enrollment works."""


class News(StrEnum):
    """What a supplier is told; also the word its mail begins with."""

    CONFIRMED = "confirmed"
    INSTRUCTION = "instruction"
    MOVED = "moved"
    CANCELLED = "cancelled"


@dataclass(frozen=True, slots=True)
class Shown:
    """An enrollment with the names that its supplier reads."""

    enrollment: Enrollment
    person: str
    email: str | None
    customer: str | None
    course: str
    starts_at: datetime | None
    place: str | None
    language: str
    recipients: Sequence[str]


_SHOWN = text(
    """
    select e.id, coalesce(p.name, '?') as person, p.email, cu.name as customer, coalesce(c.title, '?') as course,
        ss.starts_at, ss.place, coalesce(s.language, 'en') as language,
        array(select distinct value from jsonb_each_text(u.users) order by value) as recipients
    from unnest(cast(:ids as uuid[]), cast(:people as uuid[]), cast(:courses as uuid[]), cast(:sessions as uuid[]),
        cast(:suppliers as uuid[]), cast(:customers as uuid[]))
        as e(id, person_id, course_id, session_id, supplier_id, customer_id)
    left join people p on p.id = e.person_id
    left join customers cu on cu.id = e.customer_id
    left join courses c on c.id = e.course_id
    left join sessions ss on ss.id = e.session_id
    left join suppliers s on s.id = e.supplier_id
    left join supplier_users u on u.id = e.supplier_id
    """
)


async def as_shown(db: Session, enrollments: Iterable[Enrollment]) -> list[Shown]:
    """Enrollments with their names, in one statement."""
    by_id = {e.id: e for e in enrollments}
    if not by_id:
        return []
    found = await db.execute(
        _SHOWN,
        {
            "ids": list(by_id),
            "people": [e.person_id for e in by_id.values()],
            "courses": [e.course_id for e in by_id.values()],
            "sessions": [e.session_id for e in by_id.values()],
            "suppliers": [e.supplier_id for e in by_id.values()],
            "customers": [e.customer_id for e in by_id.values()],
        },
    )
    return [
        Shown(
            by_id[row.id],
            row.person,
            row.email,
            row.customer,
            row.course,
            row.starts_at,
            row.place,
            row.language,
            row.recipients,
        )
        for row in found
    ]


async def tell(db: Session, news: Mapping[UUID, News], enrollments: Iterable[Enrollment], at: Moment) -> None:
    """Mail the supplier's users what is new, each with a link of its own to the enrollment's page.

    The platform's and partners' own courses have no supplier, and nobody is told. Telling the same
    again changes nothing.
    """
    shown = await as_shown(db, (e for e in enrollments if e.supplier_id and e.id in news))
    letters = [(s, address) for s in shown for address in s.recipients]
    if not letters:
        return
    urls = await links.create_many(
        db,
        [
            links.Wanted(
                PURPOSE,
                s.enrollment.id,
                address,
                at.now + timedelta(days=LINK_DAYS),
                tenant=f"supplier/{s.enrollment.supplier_id}",
                language=s.language,
            )
            for s, address in letters
        ],
    )
    await mail.send_many(
        db,
        [_letter(s, to, url, news[s.enrollment.id], at) for (s, to), url in zip(letters, urls, strict=True)],
    )


def _letter(s: Shown, to: str, url: str, news: News, at: Moment) -> mail.Mail:
    words = words_in(s.language)
    lines = "\n".join(f"{label}: {value}" for label, value in described(s, at))
    e = s.enrollment
    # One mail for each revision of the instruction and each move; the first confirmation has its own name.
    event = {News.INSTRUCTION: f"instruction/{e.revision}", News.MOVED: f"moved/{e.version}"}.get(news, news.value)
    return mail.Mail(
        to,
        words[news].format(person=s.person, course=s.course),
        f"{lines}\n\n{words['opens']}\n{url}\n",
        matter=f"enrollment/{e.id}",
        event=event,
    )


def described(s: Shown, at: Moment) -> list[tuple[str, str]]:
    """The enrollment for its supplier: who, on what, when, and how it is invoiced."""
    words = words_in(s.language)
    e = s.enrollment
    lines = [(words["participant"], s.person)]
    if s.email:
        lines.append((words["email"], s.email))
    if s.customer:
        lines.append((words["customer"], s.customer))
    lines.append((words["course"], s.course))
    if s.starts_at:
        day = at.day(s.starts_at).isoformat()
        lines.append((words["session"], f"{day}, {s.place}" if s.place else day))
    if e.state is State.CANCELLED and e.history[-1].get("why"):
        lines.append((words["why"], e.history[-1]["why"]))
    return lines + instructed(e, words)


def instructed(e: Enrollment, words: Mapping[str, str]) -> list[tuple[str, str]]:
    """To whom, where, reference, amounts and term, as billing last instructed (BIL-6)."""
    if e.instruction is None:
        return []
    instruction = InvoiceInstructed.model_validate(e.instruction)
    lines = [(words["reference"], instruction.reference)]
    if instruction.withdrawn:
        return [*lines, (words["state"], words["withdrawn"])]
    for invoice in instruction.invoices:
        # What the platform invoices to the customer is no business of the supplier.
        if invoice.document in ("supplier_invoice", "purchase"):
            lines.append((words[invoice.document], "; ".join(_invoice(invoice, invoice.buyer, words))))
        elif invoice.document == "platform_fee":
            lines.append((words[invoice.document], "; ".join(_invoice(invoice, invoice.seller, words))))
    return lines


def _invoice(invoice: InstructedInvoice, other: Party, words: Mapping[str, str]) -> list[str]:
    parts = [other.name or other.kind]
    if other.address:
        a = other.address
        parts.append(f"{a.street}, {a.postal_code} {a.city}, {a.country}")
    if other.vat_id:
        parts.append(f"{words['vat_id']} {other.vat_id}")
    if other.invoice_email:
        parts.append(f"{words['send_to']} {other.invoice_email}")
    parts.append(f"{readable(invoice.net.amount, invoice.net.currency)} {words['net']}")
    parts.append(words["term"].format(days=invoice.term_days))
    if invoice.collected == "monthly":
        parts.append(words["monthly"])
    return parts
