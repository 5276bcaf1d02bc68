"""What a person's data must look like. No clock, no database."""

import re

_EMAIL = re.compile(r"[^@\s,;<>\"]+@[^@\s,;<>\"]+\.[^@\s,;<>\"]+")
EMAIL_MAX = 254
NAME_MAX = 200


def email_of(text: str) -> str:
    """An address as it is kept: without blanks around it, in lower case. Raises `ValueError`."""
    email = text.strip().lower()
    if len(email) > EMAIL_MAX or not _EMAIL.fullmatch(email):
        raise ValueError("an e-mail address, such as anna@acme.example")
    return email


def name_of(text: str) -> str:
    """A name as it is kept. Raises `ValueError`."""
    name = " ".join(text.split())
    if not 0 < len(name) <= NAME_MAX or not name.isprintable():
        raise ValueError(f"1 to {NAME_MAX} characters")
    return name


def language_of(text: str) -> str:
    """A two-letter language code. Raises `ValueError`."""
    if not re.fullmatch(r"[a-z]{2}", text):
        raise ValueError("two small letters, such as nl")
    return text
