"""Certificate numbers: read aloud, typed over, and checked before anybody looks them up.

Sixteen characters in four groups, of an alphabet without I, L, O and U. Fifteen are random (75 bits: nobody
finds a certificate by guessing), the last is a check character (Luhn modulo 32), which notices every mistyped
character and nearly every swap of neighbours.
"""

from secrets import choice

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
LENGTH = 16
_MISREAD = str.maketrans({"O": "0", "I": "1", "L": "1"})


class NotANumber(ValueError):
    """The text is no certificate number, or was mistyped."""


def new_number() -> str:
    """A number that nobody has."""
    random = "".join(choice(ALPHABET) for _ in range(LENGTH - 1))
    return _grouped(random + check_character(random))


def check_character(body: str) -> str:
    """The character that makes `body` a valid number."""
    return ALPHABET[-_luhn(body + ALPHABET[0]) % len(ALPHABET)]


def read_number(typed: str) -> str:
    """The number as it is stored, of one in small letters, without dashes, with O for 0. Raises `NotANumber`."""
    bare = "".join(c for c in typed.upper() if c.isalnum()).translate(_MISREAD)
    if len(bare) != LENGTH or not set(bare) <= set(ALPHABET) or _luhn(bare):
        raise NotANumber(typed)
    return _grouped(bare)


def _luhn(characters: str) -> int:
    """0 for a valid sequence. Every second character from the right counts double, its digits added."""
    base, total = len(ALPHABET), 0
    for place, character in enumerate(reversed(characters)):
        value = ALPHABET.index(character) * (1 + place % 2)
        total += value // base + value % base
    return total % base


def _grouped(bare: str) -> str:
    return "-".join(bare[i : i + 4] for i in range(0, len(bare), 4))
