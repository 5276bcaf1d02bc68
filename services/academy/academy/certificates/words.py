"""What certificates, their public page and their mail say, in English, Dutch and Italian."""

from collections.abc import Mapping
from datetime import date
from typing import Final

LANGUAGES: Final = ("en", "nl", "it")

MONTHS: Mapping[str, str] = {
    "en": "January February March April May June July August September October November December",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
}

LANGUAGE_NAMES: Mapping[str, str] = {"en": "English", "nl": "Nederlands", "it": "Italiano"}

PRINTED: Mapping[str, Mapping[str, str]] = {
    "en": {
        "heading": "Certificate of completion",
        "awarded-to": "awarded to",
        "name-erased": "the holder, whose name was erased at their request",
        "for-completing": "for completing the course",
        "completed-label": "Completed on",
        "number-label": "Certificate number",
        "revoked-label": "Revoked on",
        "revoked-word": "Revoked",
        "verify": "Anyone can verify this certificate by the code or at",
        "qr-alt": "QR code of the page that verifies this certificate",
    },
    "nl": {
        "heading": "Certificaat van voltooiing",
        "awarded-to": "uitgereikt aan",
        "name-erased": "de houder, wiens naam op verzoek is gewist",
        "for-completing": "voor het voltooien van de cursus",
        "completed-label": "Voltooid op",
        "number-label": "Certificaatnummer",
        "revoked-label": "Ingetrokken op",
        "revoked-word": "Ingetrokken",
        "verify": "Iedereen kan dit certificaat controleren met de code of op",
        "qr-alt": "QR-code van de pagina die dit certificaat controleert",
    },
    "it": {
        "heading": "Attestato di completamento",
        "awarded-to": "rilasciato a",
        "name-erased": "titolare il cui nome è stato cancellato su richiesta",
        "for-completing": "per aver completato il corso",
        "completed-label": "Completato il",
        "number-label": "Numero dell’attestato",
        "revoked-label": "Revocato il",
        "revoked-word": "Revocato",
        "verify": "Chiunque può verificare questo attestato con il codice oppure su",
        "qr-alt": "Codice QR della pagina che verifica questo attestato",
    },
}
"""On the PDF."""


MAIL_SUBJECT: Mapping[str, str] = {
    "en": "Your certificate: {course}",
    "nl": "Uw certificaat: {course}",
    "it": "Il Suo attestato: {course}",
}

MAIL_TEXT: Mapping[str, str] = {
    "en": """Dear {name},

Congratulations on completing “{course}”. Your certificate {number} has been issued.

Anyone to whom you give this address can verify it:
{url}

{issuer}
""",
    "nl": """Beste {name},

Gefeliciteerd met het voltooien van “{course}”. Uw certificaat {number} is uitgereikt.

Iedereen aan wie u dit adres geeft, kan het controleren:
{url}

{issuer}
""",
    "it": """Gentile {name},

complimenti per aver completato “{course}”. Il Suo attestato {number} è stato rilasciato.

Chiunque riceva da Lei questo indirizzo può verificarlo:
{url}

{issuer}
""",
}

PAGE: Mapping[str, Mapping[str, str]] = {
    "en": {
        "title": "Certificate verification",
        "valid": "This certificate is valid",
        "revoked": "This certificate has been revoked",
        "unknown": "There is no certificate with this number",
        "mistyped": "This is not a certificate number",
        "ask": "Verify a certificate",
        "valid-text": "It was issued as shown here.",
        "revoked-text": "It no longer proves anything.",
        "unknown-text": "Check the number on the certificate, and whether this is the issuer’s real address.",
        "mistyped-text": "It contains a typing mistake: the number on the certificate has 16 letters and digits.",
        "ask-text": "Type the number as it stands on the certificate.",
        "name": "Name",
        "name-erased": "Erased at the holder’s request",
        "course": "Course",
        "completed": "Completed on",
        "issued": "Issued on",
        "issuer": "Issued by",
        "number": "Certificate number",
        "revoked-on": "Revoked on",
        "reason": "Reason",
        "verify": "Verify",
        "another": "Verify another certificate",
        "languages": "Language",
    },
    "nl": {
        "title": "Certificaat controleren",
        "valid": "Dit certificaat is geldig",
        "revoked": "Dit certificaat is ingetrokken",
        "unknown": "Er is geen certificaat met dit nummer",
        "mistyped": "Dit is geen certificaatnummer",
        "ask": "Een certificaat controleren",
        "valid-text": "Het is uitgereikt zoals hier staat.",
        "revoked-text": "Het bewijst niets meer.",
        "unknown-text": "Controleer het nummer op het certificaat, en of dit het echte adres van de uitgever is.",
        "mistyped-text": "Er zit een typefout in: het nummer op het certificaat heeft 16 letters en cijfers.",
        "ask-text": "Typ het nummer zoals het op het certificaat staat.",
        "name": "Naam",
        "name-erased": "Gewist op verzoek van de houder",
        "course": "Cursus",
        "completed": "Voltooid op",
        "issued": "Uitgereikt op",
        "issuer": "Uitgereikt door",
        "number": "Certificaatnummer",
        "revoked-on": "Ingetrokken op",
        "reason": "Reden",
        "verify": "Controleren",
        "another": "Nog een certificaat controleren",
        "languages": "Taal",
    },
    "it": {
        "title": "Verifica dell’attestato",
        "valid": "Questo attestato è valido",
        "revoked": "Questo attestato è stato revocato",
        "unknown": "Non esiste un attestato con questo numero",
        "mistyped": "Questo non è un numero di attestato",
        "ask": "Verifica un attestato",
        "valid-text": "È stato rilasciato come indicato qui.",
        "revoked-text": "Non ha più alcun valore.",
        "unknown-text": "Controlli il numero sull’attestato e che questo sia il vero indirizzo di chi l’ha rilasciato.",
        "mistyped-text": "Contiene un errore di battitura: il numero sull’attestato ha 16 lettere e cifre.",
        "ask-text": "Scriva il numero come appare sull’attestato.",
        "name": "Nome",
        "name-erased": "Cancellato su richiesta del titolare",
        "course": "Corso",
        "completed": "Completato il",
        "issued": "Rilasciato il",
        "issuer": "Rilasciato da",
        "number": "Numero dell’attestato",
        "revoked-on": "Revocato il",
        "reason": "Motivo",
        "verify": "Verifica",
        "another": "Verifica un altro attestato",
        "languages": "Lingua",
    },
}
"""On the public page."""


def spoken(language: str | None) -> str:
    """A language that we speak: the one asked for, or English."""
    return language if language in LANGUAGES else "en"


def written_date(day: date, language: str) -> str:
    """A date as people write it: `5 March 2026`, `5 maart 2026`, `5 marzo 2026`."""
    return f"{day.day} {MONTHS[spoken(language)].split()[day.month - 1]} {day.year}"
