"""What those who decide, and those who asked, read in their language."""

from collections.abc import Mapping

LANGUAGES = ("en", "nl", "it")

WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "subject": "{person} asks for a place: {course}",
        "reminder": "Reminder: {person} still waits for your answer: {course}",
        "text": "{person} would like to take part in “{course}”{when}.\n\nCost: {cost}\n\n"
        "Approve or decline here (opening the page changes nothing):\n{url}\n\n"
        "Without an answer the request expires on {until}.\n",
        "when": " on {day}",
        "title": "A request for a place",
        "person": "Participant",
        "course": "Course",
        "starts": "Starts",
        "cost": "Cost",
        "until": "Answer before",
        "approve": "Approve",
        "decline": "Decline",
        "note": "Reason, when you decline (optional)",
        "credits": "{n} credits",
        "free": "none",
        "approved": "Approved.",
        "declined": "Declined.",
        "withdrawn": "The request was withdrawn.",
        "expired": "The request has expired.",
        "refused": "The request could not be met.",
        "cancelled": "Approved, and cancelled later.",
        "news_confirmed": "Your place is confirmed: {course}",
        "news_refused": "Your request could not be met: {course}",
        "news_declined": "Your request was declined: {course}",
        "news_expired": "Your request has expired: {course}",
        "news_cancelled": "Your place was cancelled: {course}",
        "why": "Reason: {why}",
    },
    "nl": {
        "subject": "{person} vraagt een plaats aan: {course}",
        "reminder": "Herinnering: {person} wacht nog op uw antwoord: {course}",
        "text": "{person} wil graag deelnemen aan “{course}”{when}.\n\nKosten: {cost}\n\n"
        "Keur hier goed of wijs af (de pagina openen verandert niets):\n{url}\n\n"
        "Zonder antwoord vervalt de aanvraag op {until}.\n",
        "when": " op {day}",
        "title": "Een aanvraag voor een plaats",
        "person": "Deelnemer",
        "course": "Cursus",
        "starts": "Begint",
        "cost": "Kosten",
        "until": "Antwoord vóór",
        "approve": "Goedkeuren",
        "decline": "Afwijzen",
        "note": "Reden, als u afwijst (niet verplicht)",
        "credits": "{n} credits",
        "free": "geen",
        "approved": "Goedgekeurd.",
        "declined": "Afgewezen.",
        "withdrawn": "De aanvraag is ingetrokken.",
        "expired": "De aanvraag is vervallen.",
        "refused": "Aan de aanvraag kon niet worden voldaan.",
        "cancelled": "Goedgekeurd, en later geannuleerd.",
        "news_confirmed": "Uw plaats is bevestigd: {course}",
        "news_refused": "Aan uw aanvraag kon niet worden voldaan: {course}",
        "news_declined": "Uw aanvraag is afgewezen: {course}",
        "news_expired": "Uw aanvraag is vervallen: {course}",
        "news_cancelled": "Uw plaats is geannuleerd: {course}",
        "why": "Reden: {why}",
    },
    "it": {
        "subject": "{person} chiede un posto: {course}",
        "reminder": "Promemoria: {person} attende ancora la sua risposta: {course}",
        "text": "{person} vorrebbe partecipare a “{course}”{when}.\n\nCosto: {cost}\n\n"
        "Approvi o rifiuti qui (aprire la pagina non cambia nulla):\n{url}\n\n"
        "Senza risposta la richiesta scade il {until}.\n",
        "when": " il {day}",
        "title": "Una richiesta di partecipazione",
        "person": "Partecipante",
        "course": "Corso",
        "starts": "Inizio",
        "cost": "Costo",
        "until": "Rispondere entro",
        "approve": "Approva",
        "decline": "Rifiuta",
        "note": "Motivo, in caso di rifiuto (facoltativo)",
        "credits": "{n} crediti",
        "free": "nessuno",
        "approved": "Approvata.",
        "declined": "Rifiutata.",
        "withdrawn": "La richiesta è stata ritirata.",
        "expired": "La richiesta è scaduta.",
        "refused": "La richiesta non ha potuto essere accolta.",
        "cancelled": "Approvata, e poi annullata.",
        "news_confirmed": "Il suo posto è confermato: {course}",
        "news_refused": "La sua richiesta non ha potuto essere accolta: {course}",
        "news_declined": "La sua richiesta è stata rifiutata: {course}",
        "news_expired": "La sua richiesta è scaduta: {course}",
        "news_cancelled": "Il suo posto è stato annullato: {course}",
        "why": "Motivo: {why}",
    },
}


def words_in(language: str | None) -> Mapping[str, str]:
    """The words of a language, English where we have none."""
    return WORDS.get(language or "en", WORDS["en"])
