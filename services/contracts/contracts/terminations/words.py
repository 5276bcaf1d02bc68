"""What customers, partners and finance read about terminations, in English, Dutch and Italian."""

from collections.abc import Mapping
from datetime import date

from contracts.buyouts.rules import Line

_MONTHS: Mapping[str, str] = {
    "en": "January February March April May June July August September October November December",
    "nl": "januari februari maart april mei juni juli augustus september oktober november december",
    "it": "gennaio febbraio marzo aprile maggio giugno luglio agosto settembre ottobre novembre dicembre",
}

WORDS: Mapping[str, Mapping[str, str]] = {
    "en": {
        "approval_subject": "Please approve: end of {services}",
        "approval_text": "{partner} asks to end the following for {customer}:\n\n{facts}\n\n"
        "Approve or decline until {until} (opening the page changes nothing):\n{url}\n{each}\n"
        "Without an answer the request expires and the service goes on.\n",
        "each": "\nOr decide for each by itself:\n{urls}\n",
        "reminder": "Reminder: {subject}",
        "proposal_subject": "Proposal to end {service} early",
        "proposal_text": "Ending {service} for {customer} before its regular end on {regular_end} would cost:\n\n"
        "{facts}\n\nThe attached document shows how the sum is made up.\n\n"
        "Accept or decline until {until} (opening the page changes nothing):\n{url}\n",
        "proposal_copy": "This was proposed to {customer}, which can answer until {until}:\n\n{facts}\n",
        "withdrawal_subject": "Please approve: {service} goes on after all",
        "withdrawal_text": "{partner} asks to withdraw the agreed end of {service} for {customer}:\n\n{facts}\n\n"
        "Approve or decline until {until} (opening the page changes nothing):\n{url}\n\n"
        "Without an answer the agreed end stands.\n",
        "confirmation_subject": "Confirmed: {service} ends on {last_day}",
        "confirmation_text": "The end of {service} for {customer} is agreed:\n\n{facts}\n\n"
        "The attached document confirms it.\n",
        "closed_subject": "{service} goes on",
        "closed_text": "The end of {service} for {customer} does not go through: {why}.\n\n{facts}\n\nThe service "
        "goes on.\n",
        "stands_subject": "The end of {service} stands",
        "stands_text": "The withdrawal was not approved: {why}.\n\n{facts}\n",
        "alert_subject": "Proposal needed until {until}: {service} of {customer}",
        "overdue_subject": "Overdue: proposal for {service} of {customer}",
        "alert_text": "An early end was asked for; finance proposes a sum, or takes it over by hand.\n\n{facts}\n",
        "title_approval": "End of services",
        "outcome": "Outcome",
        "title_proposal": "Proposal to end a service early",
        "title_withdrawal": "Withdrawal of an agreed end",
        "approve": "Approve",
        "decline": "Decline",
        "accept": "Accept",
        "approve_all": "Approve all",
        "decline_all": "Decline all",
        "keep": "Let it go on",
        "stand": "No, let it end",
        "note": "Reason, when you decline (optional)",
        "customer": "Customer",
        "service": "Service",
        "last_day": "Last day of service",
        "regular_end": "Regular end",
        "cost": "Cost",
        "credit": "Credit",
        "nothing": "none",
        "reference": "Reference",
        "hash": "Fingerprint",
        "until": "Answer until",
        "requested_on": "Notice given on",
        "reason": "Reason",
        "agreed_on": "Agreed on",
        "doc_quote": "Quote for ending a service",
        "doc_proposal": "Proposal for ending a service early",
        "doc_confirmation": "Confirmation of the end of a service",
        "sum": "Sum, net of VAT",
        "line": "What",
        "period": "Days",
        "amount": "Amount",
        "quote_note": "A calculation as of today; nothing is agreed by it.",
        "confirmation_note": "Customer, partner and platform have received this confirmation with the same "
        "reference, date and sum.",
        "proposal_note": "Ends early only when the customer accepts in time; else the regular end is asked.",
        "line_remaining_fees": "Remaining fees at {share}",
        "line_flat": "Agreed amount for leaving early",
        "line_benefits": "Benefits received",
        "line_cap": "Limited to the highest amount allowed",
        "line_one_off": "One-off costs still open",
        "line_already_paid": "Already paid for these days",
        "line_adjustment": "Adjustment",
        "line_none": "No charge",
        "of_days": "{days} of {of_days} days",
        "declined": "the customer declined",
        "expired": "the customer did not answer in time",
        "withdrawn": "it was withdrawn",
        "by_hand": "finance closed it",
        "was_scheduled": "Approved: ends on {day}.",
        "was_accepted": "Accepted: ends on {day}.",
        "was_ended": "Approved: ended on {day}.",
        "was_closed": "Closed: {why}.",
        "was_replaced": "A newer mail has taken its place.",
        "was_kept": "Approved: the service goes on.",
        "was_stood": "The agreed end stands.",
        "why_not_needed": "no longer used",
        "why_cost": "too expensive",
        "why_competitor": "another provider",
        "why_moving": "moving",
        "why_bankruptcy": "business ended",
        "why_force_majeure": "force majeure",
        "why_other": "other",
    },
    "nl": {
        "approval_subject": "Uw akkoord gevraagd: einde van {services}",
        "approval_text": "{partner} vraagt het volgende voor {customer} te beëindigen:\n\n{facts}\n\n"
        "Keur goed of wijs af tot en met {until} (de pagina openen verandert niets):\n{url}\n{each}\n"
        "Zonder antwoord vervalt het verzoek en loopt de dienst door.\n",
        "each": "\nOf beslis voor elk afzonderlijk:\n{urls}\n",
        "reminder": "Herinnering: {subject}",
        "proposal_subject": "Voorstel om {service} eerder te beëindigen",
        "proposal_text": "{service} voor {customer} beëindigen vóór het reguliere einde op {regular_end} zou "
        "kosten:\n\n"
        "{facts}\n\nHet bijgevoegde document laat zien hoe het bedrag is opgebouwd.\n\n"
        "Accepteer of wijs af tot en met {until} (de pagina openen verandert niets):\n{url}\n",
        "proposal_copy": "Dit is voorgesteld aan {customer}, die tot en met {until} kan antwoorden:\n\n{facts}\n",
        "withdrawal_subject": "Uw akkoord gevraagd: {service} loopt toch door",
        "withdrawal_text": "{partner} vraagt het afgesproken einde van {service} voor {customer} in te trekken:\n\n"
        "{facts}\n\nKeur goed of wijs af tot en met {until} (de pagina openen verandert niets):\n{url}\n\n"
        "Zonder antwoord blijft het afgesproken einde staan.\n",
        "confirmation_subject": "Bevestigd: {service} eindigt op {last_day}",
        "confirmation_text": "Het einde van {service} voor {customer} is afgesproken:\n\n{facts}\n\n"
        "Het bijgevoegde document bevestigt dit.\n",
        "closed_subject": "{service} loopt door",
        "closed_text": "Het einde van {service} voor {customer} gaat niet door: {why}.\n\n{facts}\n\nDe dienst "
        "loopt door.\n",
        "stands_subject": "Het einde van {service} blijft staan",
        "stands_text": "De intrekking is niet goedgekeurd: {why}.\n\n{facts}\n",
        "alert_subject": "Voorstel nodig tot en met {until}: {service} van {customer}",
        "overdue_subject": "Te laat: voorstel voor {service} van {customer}",
        "alert_text": "Er is een eerder einde gevraagd; finance stelt een bedrag voor of neemt het over.\n\n{facts}\n",
        "title_approval": "Einde van diensten",
        "outcome": "Uitkomst",
        "title_proposal": "Voorstel om een dienst eerder te beëindigen",
        "title_withdrawal": "Intrekking van een afgesproken einde",
        "approve": "Goedkeuren",
        "decline": "Afwijzen",
        "accept": "Accepteren",
        "approve_all": "Alles goedkeuren",
        "decline_all": "Alles afwijzen",
        "keep": "Laten doorlopen",
        "stand": "Nee, laten eindigen",
        "note": "Reden, als u afwijst (niet verplicht)",
        "customer": "Klant",
        "service": "Dienst",
        "last_day": "Laatste dag",
        "regular_end": "Regulier einde",
        "cost": "Kosten",
        "credit": "Tegoed",
        "nothing": "geen",
        "reference": "Kenmerk",
        "hash": "Vingerafdruk",
        "until": "Antwoord tot en met",
        "requested_on": "Opgezegd op",
        "reason": "Reden",
        "agreed_on": "Afgesproken op",
        "doc_quote": "Berekening voor het beëindigen van een dienst",
        "doc_proposal": "Voorstel voor het eerder beëindigen van een dienst",
        "doc_confirmation": "Bevestiging van het einde van een dienst",
        "sum": "Bedrag, exclusief btw",
        "line": "Wat",
        "period": "Dagen",
        "amount": "Bedrag",
        "quote_note": "Een berekening van vandaag; hiermee is niets afgesproken.",
        "confirmation_note": "Klant, partner en platform hebben deze bevestiging ontvangen met hetzelfde kenmerk, "
        "dezelfde datum en hetzelfde bedrag.",
        "proposal_note": "Eindigt alleen eerder als de klant op tijd accepteert; anders wordt het reguliere einde "
        "gevraagd.",
        "line_remaining_fees": "Resterende kosten tegen {share}",
        "line_flat": "Afgesproken bedrag voor eerder vertrek",
        "line_benefits": "Genoten voordeel",
        "line_cap": "Begrensd tot het hoogst toegestane bedrag",
        "line_one_off": "Nog openstaande eenmalige kosten",
        "line_already_paid": "Al betaald voor deze dagen",
        "line_adjustment": "Aanpassing",
        "line_none": "Geen kosten",
        "of_days": "{days} van {of_days} dagen",
        "declined": "de klant heeft afgewezen",
        "expired": "de klant heeft niet op tijd geantwoord",
        "withdrawn": "het is ingetrokken",
        "by_hand": "finance heeft het gesloten",
        "was_scheduled": "Goedgekeurd: eindigt op {day}.",
        "was_accepted": "Geaccepteerd: eindigt op {day}.",
        "was_ended": "Goedgekeurd: geëindigd op {day}.",
        "was_closed": "Gesloten: {why}.",
        "was_replaced": "Een nieuwere mail is in de plaats gekomen.",
        "was_kept": "Goedgekeurd: de dienst loopt door.",
        "was_stood": "Het afgesproken einde blijft staan.",
        "why_not_needed": "niet meer gebruikt",
        "why_cost": "te duur",
        "why_competitor": "andere aanbieder",
        "why_moving": "verhuizing",
        "why_bankruptcy": "bedrijf beëindigd",
        "why_force_majeure": "overmacht",
        "why_other": "anders",
    },
    "it": {
        "approval_subject": "Da approvare: fine di {services}",
        "approval_text": "{partner} chiede di terminare quanto segue per {customer}:\n\n{facts}\n\n"
        "Approvi o rifiuti entro il {until} (aprire la pagina non cambia nulla):\n{url}\n{each}\n"
        "Senza risposta la richiesta scade e il servizio continua.\n",
        "each": "\nOppure decida per ciascuno:\n{urls}\n",
        "reminder": "Promemoria: {subject}",
        "proposal_subject": "Proposta per terminare {service} in anticipo",
        "proposal_text": "Terminare {service} per {customer} prima della fine regolare del {regular_end} "
        "costerebbe:\n\n"
        "{facts}\n\nIl documento allegato mostra come si compone la somma.\n\n"
        "Accetti o rifiuti entro il {until} (aprire la pagina non cambia nulla):\n{url}\n",
        "proposal_copy": "È stato proposto a {customer}, che può rispondere entro il {until}:\n\n{facts}\n",
        "withdrawal_subject": "Da approvare: {service} continua",
        "withdrawal_text": "{partner} chiede di ritirare la fine concordata di {service} per {customer}:\n\n"
        "{facts}\n\nApprovi o rifiuti entro il {until} (aprire la pagina non cambia nulla):\n{url}\n\n"
        "Senza risposta la fine concordata resta valida.\n",
        "confirmation_subject": "Confermato: {service} termina il {last_day}",
        "confirmation_text": "La fine di {service} per {customer} è concordata:\n\n{facts}\n\n"
        "Il documento allegato la conferma.\n",
        "closed_subject": "{service} continua",
        "closed_text": "La fine di {service} per {customer} non avrà luogo: {why}.\n\n{facts}\n\nIl servizio "
        "continua.\n",
        "stands_subject": "La fine di {service} resta valida",
        "stands_text": "Il ritiro non è stato approvato: {why}.\n\n{facts}\n",
        "alert_subject": "Proposta necessaria entro il {until}: {service} di {customer}",
        "overdue_subject": "In ritardo: proposta per {service} di {customer}",
        "alert_text": "È stata chiesta una fine anticipata; la contabilità propone una somma o la gestisce a "
        "mano.\n\n{facts}\n",
        "title_approval": "Fine di servizi",
        "outcome": "Esito",
        "title_proposal": "Proposta per terminare un servizio in anticipo",
        "title_withdrawal": "Ritiro di una fine concordata",
        "approve": "Approva",
        "decline": "Rifiuta",
        "accept": "Accetta",
        "approve_all": "Approva tutto",
        "decline_all": "Rifiuta tutto",
        "keep": "Farlo continuare",
        "stand": "No, farlo terminare",
        "note": "Motivo, in caso di rifiuto (facoltativo)",
        "customer": "Cliente",
        "service": "Servizio",
        "last_day": "Ultimo giorno",
        "regular_end": "Fine regolare",
        "cost": "Costo",
        "credit": "Credito",
        "nothing": "nessuno",
        "reference": "Riferimento",
        "hash": "Impronta",
        "until": "Rispondere entro",
        "requested_on": "Disdetta data il",
        "reason": "Motivo",
        "agreed_on": "Concordato il",
        "doc_quote": "Calcolo per terminare un servizio",
        "doc_proposal": "Proposta per terminare un servizio in anticipo",
        "doc_confirmation": "Conferma della fine di un servizio",
        "sum": "Somma, IVA esclusa",
        "line": "Voce",
        "period": "Giorni",
        "amount": "Importo",
        "quote_note": "Un calcolo di oggi; con esso nulla è concordato.",
        "confirmation_note": "Cliente, partner e piattaforma hanno ricevuto questa conferma con lo stesso "
        "riferimento, data e somma.",
        "proposal_note": "Termina in anticipo solo se il cliente accetta in tempo; altrimenti si chiede la fine "
        "regolare.",
        "line_remaining_fees": "Canoni residui al {share}",
        "line_flat": "Importo concordato per l'uscita anticipata",
        "line_benefits": "Vantaggi ricevuti",
        "line_cap": "Limitato all'importo massimo consentito",
        "line_one_off": "Costi una tantum ancora aperti",
        "line_already_paid": "Già pagato per questi giorni",
        "line_adjustment": "Rettifica",
        "line_none": "Nessun costo",
        "of_days": "{days} di {of_days} giorni",
        "declined": "il cliente ha rifiutato",
        "expired": "il cliente non ha risposto in tempo",
        "withdrawn": "è stata ritirata",
        "by_hand": "la contabilità l'ha chiusa",
        "was_scheduled": "Approvato: termina il {day}.",
        "was_accepted": "Accettato: termina il {day}.",
        "was_ended": "Approvato: terminato il {day}.",
        "was_closed": "Chiuso: {why}.",
        "was_replaced": "Una mail più recente ne ha preso il posto.",
        "was_kept": "Approvato: il servizio continua.",
        "was_stood": "La fine concordata resta valida.",
        "why_not_needed": "non più usato",
        "why_cost": "troppo caro",
        "why_competitor": "altro fornitore",
        "why_moving": "trasloco",
        "why_bankruptcy": "attività cessata",
        "why_force_majeure": "forza maggiore",
        "why_other": "altro",
    },
}


def spoken(language: str | None) -> str:
    """A language we have: English where we have not the one asked for."""
    return language if language and language in WORDS else "en"


def words_in(language: str | None) -> Mapping[str, str]:
    return WORDS[spoken(language)]


def written(day: date, language: str | None) -> str:
    """`31 December 2026`, in the language."""
    return f"{day.day} {_MONTHS[spoken(language)].split()[day.month - 1]} {day.year}"


def readable(amount: int, currency: str) -> str:
    """`12500, EUR` → `EUR 125.00`: minor units of two digits, as every currency served here has."""
    sign = "-" if amount < 0 else ""
    return f"{currency} {sign}{abs(amount) // 100:,}.{abs(amount) % 100:02}"


def described(line: Line, language: str | None) -> tuple[str, str]:
    """What a quote's line is for, and the days it covers."""
    words = words_in(language)
    what = words[f"line_{line.kind}"]
    if line.share_bp is not None:
        what = what.format(share=f"{line.share_bp / 100:g} %")
    if line.note:
        what += ": " + words.get(f"why_{line.note}", line.note)
    days = f"{written(line.first, language)} – {written(line.last, language)}" if line.first and line.last else ""
    if line.days is not None and line.of_days is not None and line.days != line.of_days:
        days += f" ({words['of_days'].format(days=line.days, of_days=line.of_days)})"
    return what, days
