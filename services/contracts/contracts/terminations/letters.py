"""The mails of a termination, with their links and documents."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import select

from contracts.terminations.documents import Document, rendered
from contracts.terminations.parties import Parties, Party
from contracts.terminations.rows import Proposal, Termination
from contracts.terminations.rules import local_day
from contracts.terminations.words import readable, words_in, written
from kit import links, mail
from kit.db import Session

APPROVE, APPROVE_ALL = "approve_termination", "approve_terminations"
ACCEPT = "accept_buyout"
WITHDRAW = "withdraw_termination"


def cost(total: int, currency: str, words: Mapping[str, str]) -> tuple[str, str]:
    """What it costs, or what comes back, as label and value."""
    if total == 0:
        return words["cost"], words["nothing"]
    return (words["cost"], readable(total, currency)) if total > 0 else (words["credit"], readable(-total, currency))


def facts(t: Termination, customer: str, language: str) -> list[tuple[str, str]]:
    """What everybody is told of a termination, the same in mails, on pages and on documents."""
    words = words_in(language)
    told = [
        (words["customer"], customer),
        (words["service"], t.label),
        (words["last_day"], written(t.last_day, language)),
        cost(t.quote.total, t.currency, words),
        (words["reference"], str(t.id)),
    ]
    if t.early:
        told.insert(3, (words["regular_end"], written(t.regular_end, language)))
    return told


def as_text(told: Sequence[tuple[str, str]]) -> str:
    return "\n".join(f"{label}: {value}" for label, value in told)


# -- asking the customer ----------------------------------------------------------------------------------


async def ask_approval(db: Session, terminations: Sequence[Termination], parties: Parties, *, again: int = 0) -> None:
    """One mail for all that are asked together: a link for all of them, and one for each (CON-8, CON-10).

    `again` counts the reminders; the links of the newest mail take the place of older ones.
    """
    party, language = parties.customer, parties.customer.language
    words = words_in(language)
    first = terminations[0]
    several = len(terminations) > 1
    wanted = []
    for address in party.addresses:
        if several:
            latest = max(t.ask_expires_at or t.waiting_since for t in terminations)
            wanted.append(_wanted(APPROVE_ALL, first.ask_group, address, latest, first, language))
        wanted += [_wanted(APPROVE, t.ask_id, address, t.ask_expires_at, t, language) for t in terminations]
    urls = iter(await links.create_many(db, wanted))
    told = "\n\n".join(as_text(facts(t, parties.customer_name, language)) for t in terminations)
    until = max(last_answer(t) for t in terminations)
    for address in party.addresses:
        url = next(urls) if several else ""
        each = [next(urls) for _ in terminations]
        text = words["approval_text"].format(
            partner=parties.partner_name,
            customer=parties.customer_name,
            facts=told,
            until=written(until, language),
            url=url or each[0],
            each=words["each"].format(urls=_listed(terminations, each)) if several else "",
        )
        subject = words["approval_subject"].format(services=", ".join(t.label for t in terminations))
        await _send(db, address, subject, text, parties, words, f"ask/{first.ask_group}", "asked", again)


def _listed(terminations: Sequence[Termination], urls: Sequence[str]) -> str:
    return "\n".join(f"{t.label}: {url}" for t, url in zip(terminations, urls, strict=True))


async def send_proposal(db: Session, t: Termination, proposal: Proposal, parties: Parties, *, again: int = 0) -> None:
    """The proposal, by mail to the customer with a link, and once to the partner (CON-11)."""
    language = parties.customer.language
    words = words_in(language)
    document = await _document("proposal", t, parties, parties.customer, proposal.proposed_at, proposal.hash)
    filled = {
        "service": t.label,
        "customer": parties.customer_name,
        "regular_end": written(t.regular_end, language),
        "facts": as_text(facts(t, parties.customer_name, language)),
        "until": written(proposal.valid_until, language),
    }
    for address in parties.customer.addresses:
        wanted = _wanted(ACCEPT, proposal.id, address, t.ask_expires_at, t, language)
        (url,) = await links.create_many(db, [wanted])
        text = words["proposal_text"].format(**filled, url=url)
        subject = words["proposal_subject"].format(**filled)
        await _send(db, address, subject, text, parties, words, f"ask/{proposal.id}", "asked", again, document)
    if not again:
        await _tell(db, [parties.partner], t, parties, "proposal_subject", "proposal_copy", f"proposal/{proposal.id}",
                    until=proposal.valid_until, document=("proposal", proposal.proposed_at, proposal.hash))  # fmt: skip


async def ask_withdrawal(db: Session, t: Termination, parties: Parties, *, again: int = 0) -> None:
    """Ask the customer whether an agreed end may be withdrawn (CON-12)."""
    language = parties.customer.language
    words = words_in(language)
    for address in parties.customer.addresses:
        (url,) = await links.create_many(db, [_wanted(WITHDRAW, t.ask_id, address, t.ask_expires_at, t, language)])
        text = words["withdrawal_text"].format(
            partner=parties.partner_name,
            customer=parties.customer_name,
            service=t.label,
            facts=as_text(facts(t, parties.customer_name, language)),
            until=written(last_answer(t), language),
            url=url,
        )
        subject = words["withdrawal_subject"].format(service=t.label)
        await _send(db, address, subject, text, parties, words, f"ask/{t.ask_id}", "asked", again)


def _wanted(
    purpose: str, matter: UUID | None, address: str, expires_at: datetime | None, t: Termination, language: str
) -> links.Wanted:
    if matter is None or expires_at is None:
        raise ValueError("nothing is asked")
    tenant = f"customer/{t.customer_id}"
    return links.Wanted(purpose, matter, address, expires_at, tenant=tenant, language=language)


async def lock_links(db: Session, matters: Iterable[UUID]) -> None:
    """Wait for whoever is answering by a link about these matters, and keep others from it meanwhile."""
    open_ = links.table.c.used_at.is_(None), links.table.c.ended_at.is_(None)
    mine = select(links.table.c.id).where(links.table.c.matter_id.in_(set(matters)), *open_)
    await db.execute(mine.order_by(links.table.c.id).with_for_update())


def last_answer(t: Termination) -> date:
    """The last local day on which the customer may answer: until the midnight that closes it."""
    if t.ask_expires_at is None:
        raise ValueError("nothing is asked")
    return local_day(t.ask_expires_at - timedelta(microseconds=1), t.time_zone)


async def _send(
    db: Session,
    address: str,
    subject: str,
    text: str,
    parties: Parties,
    words: Mapping[str, str],
    matter: str,
    event: str,
    again: int = 0,
    document: mail.Attachment | None = None,
) -> None:
    await mail.send(
        db,
        to=address,
        subject=words["reminder"].format(subject=subject) if again else subject,
        text=f"{text}\n{parties.signed_by}\n",
        matter=matter,
        event=f"{event}/{again}",
        attachments=[document] if document else [],
    )


# -- telling ----------------------------------------------------------------------------------------------


async def confirm(db: Session, t: Termination, parties: Parties) -> None:
    """To customer, partner and platform: what ends, when, at what cost; with a document (CON-12)."""
    if t.agreed_at is None or t.agreed_hash is None:
        raise ValueError("nothing is agreed")
    document = ("confirmation", t.agreed_at, t.agreed_hash)
    matter = f"termination/{t.id}"
    await _tell(
        db, parties.everyone, t, parties, "confirmation_subject", "confirmation_text", matter, document=document
    )


async def tell_closed(db: Session, t: Termination, parties: Parties) -> None:
    """To customer, partner and platform: the service goes on."""
    await _tell(
        db, parties.everyone, t, parties, "closed_subject", "closed_text", f"termination/{t.id}", t.closed_reason
    )


async def tell_stands(db: Session, t: Termination, parties: Parties, why: str) -> None:
    """To partner and platform: the withdrawal was not approved."""
    told = [parties.partner, parties.platform]
    await _tell(db, told, t, parties, "stands_subject", "stands_text", f"ask/{t.ask_id}", why)


async def alert_finance(db: Session, t: Termination, parties: Parties, until: date, *, overdue: bool) -> None:
    """To finance: a proposal is needed, or overdue."""
    subject = "overdue_subject" if overdue else "alert_subject"
    matter = f"termination/{t.id}/{t.finance_alerted}"
    await _tell(db, [parties.finance], t, parties, subject, "alert_text", matter, until=until)


async def _tell(
    db: Session,
    told: Sequence[Party],
    t: Termination,
    parties: Parties,
    subject: str,
    text: str,
    matter: str,
    why: str | None = None,
    *,
    until: date | None = None,
    document: tuple[str, datetime, str] | None = None,
) -> None:
    letters = []
    for party in told:
        words, language = words_in(party.language), party.language
        filled: dict[str, Any] = {
            "service": t.label,
            "customer": parties.customer_name,
            "last_day": written(t.last_day, language),
            "facts": as_text(facts(t, parties.customer_name, language)),
            "why": words.get(why or "", why),
            "until": written(until, language) if until else "",
        }
        attached = [await _document(document[0], t, parties, party, *document[1:])] if document else []
        letters += [
            mail.Mail(
                address,
                words[subject].format(**filled),
                f"{words[text].format(**filled)}\n{parties.signed_by}\n",
                matter=matter,
                event=text,
                attachments=attached,
            )
            for address in party.addresses
        ]
    await mail.send_many(db, letters)


async def _document(
    kind: str, t: Termination, parties: Parties, party: Party, at: datetime, fingerprint: str
) -> mail.Attachment:
    pdf = await rendered(document(kind, t, parties, party.language, at, fingerprint))
    return {"name": f"{kind}-{t.id}.pdf", "media_type": "application/pdf", "content": pdf}


def document(kind: str, t: Termination, parties: Parties, language: str, at: datetime, fingerprint: str) -> Document:
    """The document of a termination as it now is."""
    told = facts(t, parties.customer_name, language)
    return Document(kind, parties.signed_by, language, str(t.id), told, t.quote, at, fingerprint)
