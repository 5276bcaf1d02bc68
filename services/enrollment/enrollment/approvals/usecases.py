"""Asking those who decide a request, and knowing who they are (ENR-2)."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from sqlalchemy import text

from enrollment.approvals.words import words_in
from enrollment.enrollments.rules import Enrollment, State
from enrollment.moment import Moment
from enrollment.money import readable
from kit import links, mail
from kit.auth import Principal
from kit.db import Session
from kit.problems import Refused

PURPOSE = "approve"


class NobodyToAsk(Refused):
    """Nobody could decide this request: no manager, and no admin of the customer or the partner."""

    rule = "ENR-2"
    remedy = "Give the person a manager, or the customer an admin, then ask again."


@dataclass(frozen=True, slots=True)
class Asked:
    """What a mail or a page about a request says, and to whom it goes."""

    enrollment: Enrollment
    person: str
    course: str
    starts_at: datetime | None
    approvers: Sequence[str]
    language: str


# The manager; else the customer's admins; else the partner's. Nobody decides about itself while another can.
_ASKED = text(
    """
    select e.id, coalesce(p.name, '?') as person, coalesce(c.title, '?') as course, s.starts_at,
        coalesce(m.language, cu.language, pa.language, 'en') as language,
        case when m.id is not null then array[m.email] else (
            select coalesce(
                nullif(array_agg(distinct g.email) filter (
                    where g.role = 'customer_admin' and g.tenant_id = p.customer_id and g.email <> p.email), '{}'),
                nullif(array_agg(distinct g.email) filter (
                    where g.role = 'partner_admin' and g.tenant_id = p.partner_id and g.email <> p.email), '{}'),
                array_agg(distinct g.email),
                '{}')
            from grants g
            where g.status = 'active' and g.email is not null
                and ((g.role = 'customer_admin' and g.tenant_id = p.customer_id)
                    or (g.role = 'partner_admin' and g.tenant_id = p.partner_id))
        ) end as approvers
    from unnest(cast(:ids as uuid[]), cast(:people as uuid[]), cast(:courses as uuid[]), cast(:sessions as uuid[]))
        as e(id, person_id, course_id, session_id)
    left join people p on p.id = e.person_id
    left join people m on m.id = p.manager_id and m.status = 'active'
    left join courses c on c.id = e.course_id
    left join sessions s on s.id = e.session_id
    left join customers cu on cu.id = p.customer_id
    left join partners pa on pa.id = p.partner_id
    """
)


async def asked_about(db: Session, requests: Iterable[Enrollment]) -> dict[UUID, Asked]:
    """Who decides each of these requests, and what is to be said about it."""
    by_id = {e.id: e for e in requests}
    found = await db.execute(
        _ASKED,
        {
            "ids": list(by_id),
            "people": [e.person_id for e in by_id.values()],
            "courses": [e.course_id for e in by_id.values()],
            "sessions": [e.session_id for e in by_id.values()],
        },
    )
    return {
        row.id: Asked(by_id[row.id], row.person, row.course, row.starts_at, row.approvers, row.language)
        for row in found
    }


async def check_somebody(db: Session, request: Enrollment) -> None:
    """Raises `NobodyToAsk` where nobody could decide."""
    if not (await asked_about(db, [request]))[request.id].approvers:
        raise NobodyToAsk(field="person_id")


async def may_decide(db: Session, caller: Principal, request: Enrollment) -> bool:
    """Platform staff, or one of those who are asked."""
    if caller.has("admin", "support"):
        return True
    return caller.email in (await asked_about(db, [request]))[request.id].approvers


def cost(e: Enrollment, words: Mapping[str, str]) -> str:
    """What the place costs whoever pays, as people read it."""
    if e.credits is not None:
        return words["credits"].format(n=e.credits)
    return readable(e.price.customer_pays, e.price.currency) if e.price else words["free"]


async def ask(db: Session, requests: Sequence[Enrollment], at: Moment, *, support: str, again: bool = False) -> None:
    """Mail those who decide, each with a link of its own. Asking the same again changes nothing.

    `again` is the reminder; its links take the place of the first ones. Where nobody is left to ask,
    `support` is told.
    """
    if not requests:
        return
    asked = await asked_about(db, requests)
    nobody = [a for a in asked.values() if not a.approvers]
    letters = [(a, address) for a in asked.values() for address in a.approvers]
    urls = await links.create_many(
        db,
        [
            links.Wanted(
                PURPOSE,
                a.enrollment.id,
                address,
                a.enrollment.expires_at or at.now,
                version=a.enrollment.version,
                tenant=tenant_of(a.enrollment),
                language=a.language,
            )
            for a, address in letters
        ],
    )
    await mail.send_many(db, [_letter(a, to, url, at, again) for (a, to), url in zip(letters, urls, strict=True)])
    await mail.send_many(db, [_nobody(support, a) for a in nobody])


def tenant_of(e: Enrollment) -> str:
    """The tenant on whose side a request is decided."""
    return f"customer/{e.customer_id}" if e.customer_id else f"partner/{e.partner_id}"


def _letter(a: Asked, to: str, url: str, at: Moment, again: bool) -> mail.Mail:
    words = words_in(a.language)
    until = at.day(a.enrollment.expires_at or at.now)
    when = words["when"].format(day=at.day(a.starts_at).isoformat()) if a.starts_at else ""
    subject = words["reminder" if again else "subject"].format(person=a.person, course=a.course)
    body = words["text"].format(
        person=a.person, course=a.course, when=when, cost=cost(a.enrollment, words), url=url, until=until.isoformat()
    )
    event = "reminder" if again else "asked"
    return mail.Mail(to, subject, body, matter=f"enrollment/{a.enrollment.id}", event=event)


def _nobody(support: str, a: Asked) -> mail.Mail:
    return mail.Mail(
        support,
        f"Nobody can decide the request of {a.person} for {a.course}",
        f"Request {a.enrollment.id} has no manager and no admin to decide it. It expires on its own.",
        matter=f"enrollment/{a.enrollment.id}",
        event="nobody-to-ask",
    )


_ASKERS = text(
    "select e.id, p.email, p.language, coalesce(c.title, '?') as course"
    " from unnest(cast(:ids as uuid[]), cast(:people as uuid[]), cast(:courses as uuid[]))"
    " as e(id, person_id, course_id)"
    " join people p on p.id = e.person_id and p.status = 'active'"
    " left join courses c on c.id = e.course_id"
)


async def inform(db: Session, decided: Iterable[Enrollment]) -> None:
    """Mail those who asked what became of it. Who was associated by others, or ended it itself, gets none."""
    by_id = {e.id: e for e in decided if e.way == "requested" and f"news_{e.state}" in words_in(None)}
    if not by_id:
        return
    found = await db.execute(
        _ASKERS,
        {
            "ids": list(by_id),
            "people": [e.person_id for e in by_id.values()],
            "courses": [e.course_id for e in by_id.values()],
        },
    )
    await mail.send_many(db, [_news(by_id[row.id], row.email, row.course, words_in(row.language)) for row in found])


def _news(e: Enrollment, to: str, course: str, words: Mapping[str, str]) -> mail.Mail:
    subject = words[f"news_{e.state}"].format(course=course)
    # A refusal's reason is a code of ours; what people wrote is for people.
    why = e.history[-1].get("why") if e.state in (State.DECLINED, State.CANCELLED) else None
    body = f"{subject}.\n" + (f"\n{words['why'].format(why=why)}\n" if why else "")
    return mail.Mail(to, subject, body, matter=f"enrollment/{e.id}", event=e.state.value)
