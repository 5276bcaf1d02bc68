"""Numbers as digits, and files as what they really are. No clock, no database."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

NUMBERS_MAX = 10_000
"""As many numbers at most has one range."""
MANDATE_BYTES_MAX = 5 << 20


class Direction(StrEnum):
    """`in`: from another provider to a service here; `out`: the other way."""

    IN = "in"
    OUT = "out"


@dataclass(frozen=True, slots=True, order=True)
class Numbers:
    """A number, or a range of numbers, as digits of E.164 without the plus; both ends included."""

    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1

    def within(self, other: "Numbers") -> bool:
        return other.first <= self.first and self.last <= other.last

    def without(self, gone: "Numbers") -> list["Numbers"]:
        """What is left of these when others go: none, one or two ranges."""
        left = [Numbers(self.first, min(self.last, gone.first - 1)), Numbers(max(self.first, gone.last + 1), self.last)]
        return [part for part in left if part.first <= part.last] if self.overlaps(gone) else [self]

    def overlaps(self, other: "Numbers") -> bool:
        return self.first <= other.last and other.first <= self.last


def numbers(first: str, last: str | None = None) -> Numbers:
    """The range from `first` to `last`, each as people write it with its country: `+31 20 123 45 00`.

    Raises `ValueError` naming what is wrong with it.
    """
    found = Numbers(_digits(first), _digits(last) if last else _digits(first))
    if found.last < found.first or len(str(found.first)) != len(str(found.last)):
        raise ValueError(f"{last} does not come after {first}")
    if len(found) > NUMBERS_MAX:
        raise ValueError(f"a range has {NUMBERS_MAX} numbers at most, and this one {len(found)}")
    if region(found.first) != region(found.last):
        raise ValueError(f"{first} and {last} are not of one country")
    return found


def _digits(written: str) -> int:
    import phonenumbers  # large, and needed by few requests

    try:
        number = phonenumbers.parse(written)
    except phonenumbers.NumberParseException:
        raise ValueError(f"{written!r} is not a number with its country, such as +31 20 123 4567") from None
    if number.extension or not phonenumbers.is_valid_number(number):
        raise ValueError(f"{written!r} is not a number that exists")
    return int(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:])


def region(digits: int) -> str:
    """The country of a number, two letters; `ZZ` where it belongs to none."""
    import phonenumbers

    return phonenumbers.region_code_for_number(phonenumbers.parse(f"+{digits}")) or "ZZ"


def as_written(digits: int) -> str:
    """A number in E.164."""
    return f"+{digits}"


def check_disjoint(ranges: Sequence[Numbers]) -> None:
    """Raises `ValueError` where a number is named twice."""
    ordered = sorted(ranges)
    for one, other in pairwise(ordered):
        if one.overlaps(other):
            raise ValueError(f"{as_written(other.first)} is named twice")


_STARTS = {b"%PDF-": "application/pdf", b"\x89PNG\r\n\x1a\n": "image/png", b"\xff\xd8\xff": "image/jpeg"}


def media_type(content: bytes) -> str | None:
    """What a file is by its first bytes: PDF, PNG, JPEG, or nothing that a mandate may be."""
    return next((kind for start, kind in _STARTS.items() if content.startswith(start)), None)
