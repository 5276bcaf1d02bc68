"""The mail to somebody who has just been given access, in English, Dutch or Italian."""

from dataclasses import dataclass

ROLE_NAMES = {
    "en": {
        "admin": "administrator",
        "support": "support",
        "finance": "finance",
        "editor": "editor",
        "partner_admin": "administrator",
        "customer_admin": "administrator",
        "hr": "HR",
        "manager": "manager",
        "supplier_user": "user",
        "learner": "learner",
    },
    "nl": {
        "admin": "beheerder",
        "support": "support",
        "finance": "financiën",
        "editor": "redacteur",
        "partner_admin": "beheerder",
        "customer_admin": "beheerder",
        "hr": "HR",
        "manager": "leidinggevende",
        "supplier_user": "gebruiker",
        "learner": "deelnemer",
    },
    "it": {
        "admin": "amministratore",
        "support": "assistenza",
        "finance": "contabilità",
        "editor": "redazione",
        "partner_admin": "amministratore",
        "customer_admin": "amministratore",
        "hr": "risorse umane",
        "manager": "responsabile",
        "supplier_user": "utente",
        "learner": "partecipante",
    },
}

SUBJECTS = {
    "en": "You have access to {tenant}",
    "nl": "U heeft toegang tot {tenant}",
    "it": "Ha accesso a {tenant}",
}

TEXTS = {
    "en": """Dear {name},

You have been given access to {tenant} as {role}.

Sign in with this e-mail address:
{url}

Did you not expect this? Then reply to this mail; nobody else can sign in with your address.

{signed_by}
""",
    "nl": """Beste {name},

U heeft toegang gekregen tot {tenant} als {role}.

Meld u aan met dit e-mailadres:
{url}

Had u dit niet verwacht? Beantwoord dan deze mail; niemand anders kan zich met uw adres aanmelden.

{signed_by}
""",
    "it": """Gentile {name},

ha ricevuto l'accesso a {tenant} come {role}.

Acceda con questo indirizzo e-mail:
{url}

Non se lo aspettava? Risponda a questa mail; nessun altro può accedere con il Suo indirizzo.

{signed_by}
""",
}


@dataclass(frozen=True, slots=True)
class Invitation:
    """A mail as text."""

    subject: str
    text: str


def invitation(
    language: str, *, name: str | None, email: str, tenant: str, role: str, url: str, signed_by: str
) -> Invitation:
    """The mail to a new holder of `role`; an unknown language reads English."""
    spoken = language if language in TEXTS else "en"
    filled = {
        "name": name or email,
        "tenant": tenant,
        "role": ROLE_NAMES[spoken].get(role, role),
        "url": url,
        "signed_by": signed_by,
    }
    return Invitation(SUBJECTS[spoken].format(tenant=tenant), TEXTS[spoken].format(**filled))
