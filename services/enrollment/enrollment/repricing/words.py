"""What those whose consent is asked read, in their language."""

from collections.abc import Mapping

WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "subject": "A new price for {person} on {course}",
        "text": "The price of {person}'s place on “{course}” is to change.\n\nNow: {old}\nNew: {new}\n"
        "Reason: {reason}\n\nAgree or decline here (opening the page changes nothing):\n{url}\n",
        "title": "A new price",
        "person": "Participant",
        "course": "Course",
        "old": "Price now",
        "new": "New price",
        "reason": "Reason",
        "agree": "Agree",
        "decline": "Decline",
        "open": "Thank you. The others concerned are asked too.",
        "agreed": "Agreed: the new price holds.",
        "declined": "Declined: the price stays as it was.",
        "replaced": "Another proposal has taken its place.",
    },
    "nl": {
        "subject": "Een nieuwe prijs voor {person} bij {course}",
        "text": "De prijs van de plaats van {person} bij “{course}” verandert.\n\nNu: {old}\nNieuw: {new}\n"
        "Reden: {reason}\n\nGa hier akkoord of wijs af (de pagina openen verandert niets):\n{url}\n",
        "title": "Een nieuwe prijs",
        "person": "Deelnemer",
        "course": "Cursus",
        "old": "Prijs nu",
        "new": "Nieuwe prijs",
        "reason": "Reden",
        "agree": "Akkoord",
        "decline": "Afwijzen",
        "open": "Dank u. Ook de andere betrokkenen worden gevraagd.",
        "agreed": "Akkoord: de nieuwe prijs geldt.",
        "declined": "Afgewezen: de prijs blijft zoals hij was.",
        "replaced": "Een ander voorstel is in de plaats gekomen.",
    },
    "it": {
        "subject": "Un nuovo prezzo per {person} a {course}",
        "text": "Il prezzo del posto di {person} a “{course}” deve cambiare.\n\nOra: {old}\nNuovo: {new}\n"
        "Motivo: {reason}\n\nAccetti o rifiuti qui (aprire la pagina non cambia nulla):\n{url}\n",
        "title": "Un nuovo prezzo",
        "person": "Partecipante",
        "course": "Corso",
        "old": "Prezzo attuale",
        "new": "Nuovo prezzo",
        "reason": "Motivo",
        "agree": "Accetta",
        "decline": "Rifiuta",
        "open": "Grazie. Si chiede anche agli altri interessati.",
        "agreed": "Accettato: vale il nuovo prezzo.",
        "declined": "Rifiutato: il prezzo resta com'era.",
        "replaced": "Un'altra proposta ne ha preso il posto.",
    },
}


def words_in(language: str | None) -> Mapping[str, str]:
    """The words of a language, English where we have none."""
    return WORDS.get(language or "en", WORDS["en"])
