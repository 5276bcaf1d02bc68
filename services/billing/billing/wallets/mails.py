"""What a wallet's people read. Subject and text by language; an unknown language reads English."""

from billing.wallets.rules import News, Turn

_TEXTS = {
    (News.DEPLETED, "en"): (
        "The wallet of {partner} is empty",
        "The wallet of {partner} has {available} credits left.{refused}\n"
        "Enrollments that cost more are refused until the platform tops it up.\n",
    ),
    (News.DEPLETED, "nl"): (
        "De credits van {partner} zijn op",
        "Het tegoed van {partner} is nog {available} credits.{refused}\n"
        "Inschrijvingen die meer kosten worden geweigerd tot het platform het tegoed aanvult.\n",
    ),
    (News.DEPLETED, "it"): (
        "I crediti di {partner} sono esauriti",
        "A {partner} restano {available} crediti.{refused}\n"
        "Le iscrizioni che costano di più sono rifiutate finché la piattaforma non ricarica il conto.\n",
    ),
    (News.LOW, "en"): (
        "The wallet of {partner} is running low",
        "The wallet of {partner} has {available} credits left, less than the warning threshold of {threshold}.\n",
    ),
    (News.LOW, "nl"): (
        "De credits van {partner} raken op",
        "Het tegoed van {partner} is nog {available} credits, minder dan de ingestelde grens van {threshold}.\n",
    ),
    (News.LOW, "it"): (
        "I crediti di {partner} stanno per finire",
        "A {partner} restano {available} crediti, meno della soglia di avviso di {threshold}.\n",
    ),
}
_REFUSED = {
    "en": " A price of {price} was refused.",
    "nl": " Een prijs van {price} werd geweigerd.",
    "it": " Un prezzo di {price} è stato rifiutato.",
}


def write(turn: Turn, partner: str, language: str, threshold: int | None) -> tuple[str, str]:
    """Subject and text of the mail about a turn; only depletion and a low wallet have one."""
    if (turn.news, language) not in _TEXTS:
        language = "en"
    refused = _REFUSED[language].format(price=turn.refused_price) if turn.refused_price else ""
    words = {"partner": partner, "available": turn.available, "refused": refused, "threshold": threshold}
    subject, text = _TEXTS[turn.news, language]
    return subject.format(**words), text.format(**words)
