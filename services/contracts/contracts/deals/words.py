"""What the mails about deals say, in English, Dutch and Italian."""

from dataclasses import dataclass
from datetime import date

from contracts.terminations.words import readable, written


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail's subject and text."""

    subject: str
    text: str


_PROTECTION = {
    "en": Letter(
        "{company}: protection ends on {until}",
        "The protection of your deal with {company} ends on {until}, in {days} days.\n\n"
        "A note or a change to the deal renews it for 90 days.\n\n{signed_by}\n",
    ),
    "nl": Letter(
        "{company}: de bescherming eindigt op {until}",
        "De bescherming van uw deal met {company} eindigt op {until}, over {days} dagen.\n\n"
        "Een notitie of een wijziging van de deal verlengt haar met 90 dagen.\n\n{signed_by}\n",
    ),
    "it": Letter(
        "{company}: la protezione termina il {until}",
        "La protezione della vostra trattativa con {company} termina il {until}, fra {days} giorni.\n\n"
        "Una nota o una modifica della trattativa la rinnova per 90 giorni.\n\n{signed_by}\n",
    ),
}

_WON = {
    "en": Letter(
        "{customer}: the subscription {plan} has started",
        "{customer} has a subscription.\n\n"
        "Plan: {plan}\nFrom: {starts_on}\nFirst term: {term}\nNotice: {notice}\nMonthly fee: {fee}\n"
        "{once}Invoiced by: {invoicer}\nConditions: version {conditions}\nAgreement: {contract}\n\n"
        "The account goes on as it is; nothing changes for its users.\n\n{signed_by}\n",
    ),
    "nl": Letter(
        "{customer}: het abonnement {plan} is begonnen",
        "{customer} heeft een abonnement.\n\n"
        "Plan: {plan}\nVanaf: {starts_on}\nEerste termijn: {term}\nOpzegtermijn: {notice}\n"
        "Maandbedrag: {fee}\n{once}Factuur van: {invoicer}\nVoorwaarden: versie {conditions}\n"
        "Overeenkomst: {contract}\n\nHet account gaat door zoals het is; voor gebruikers verandert er niets.\n\n"
        "{signed_by}\n",
    ),
    "it": Letter(
        "{customer}: l'abbonamento {plan} è iniziato",
        "{customer} ha un abbonamento.\n\n"
        "Piano: {plan}\nDal: {starts_on}\nPrima durata: {term}\nPreavviso: {notice}\nCanone mensile: {fee}\n"
        "{once}Fattura di: {invoicer}\nCondizioni: versione {conditions}\nContratto: {contract}\n\n"
        "L'account prosegue com'è; per gli utenti non cambia nulla.\n\n{signed_by}\n",
    ),
}
_ONCE = {"en": "Once: {once}\n", "nl": "Eenmalig: {once}\n", "it": "Una tantum: {once}\n"}
_MONTHS = {"en": "{n} months", "nl": "{n} maanden", "it": "{n} mesi"}
_DAYS = {"en": "{n} days", "nl": "{n} dagen", "it": "{n} giorni"}
_NO_TERM = {"en": "none, it runs on", "nl": "geen, het loopt door", "it": "nessuna, prosegue"}


@dataclass(frozen=True, slots=True)
class Agreed:
    """What was agreed, for those who are told."""

    customer: str
    plan: str
    starts_on: date
    term_months: int | None
    notice_months: int
    notice_days: int
    monthly_fee: int
    once: int
    currency: str
    invoicer: str
    conditions: str
    contract: str


def protection_ends(language: str, *, company: str, until: date, days: int, signed_by: str) -> Letter:
    """To the partner: its protection ends."""
    told = {"company": company, "until": written(until, language), "days": str(days), "signed_by": signed_by}
    return _filled(_PROTECTION[language], told)


def won(language: str, agreed: Agreed, *, signed_by: str) -> Letter:
    """To the platform, the partner and the customer: the new agreement."""
    notice = [
        words[language].format(n=n) for words, n in ((_MONTHS, agreed.notice_months), (_DAYS, agreed.notice_days)) if n
    ] or [_DAYS[language].format(n=0)]
    once = readable(agreed.once, agreed.currency)
    term = _MONTHS[language].format(n=agreed.term_months) if agreed.term_months else _NO_TERM[language]
    told = {
        "customer": agreed.customer,
        "plan": agreed.plan,
        "starts_on": written(agreed.starts_on, language),
        "term": term,
        "notice": " + ".join(notice),
        "fee": readable(agreed.monthly_fee, agreed.currency),
        "once": _ONCE[language].format(once=once) if agreed.once else "",
        "invoicer": agreed.invoicer,
        "conditions": agreed.conditions,
        "contract": agreed.contract,
        "signed_by": signed_by,
    }
    return _filled(_WON[language], told)


def _filled(letter: Letter, told: dict[str, str]) -> Letter:
    return Letter(letter.subject.format(**told), letter.text.format(**told))
