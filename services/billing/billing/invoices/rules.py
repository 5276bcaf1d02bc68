"""What stands on an invoice, what a credit note takes back, and what is open. Integers in, integers out."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from enum import StrEnum
from typing import Any

TERM_DAYS = 30
"""From the invoice date, on every invoice of the platform (BIL-6)."""

EU = frozenset(
    (
        *("AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU"),
        *("IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"),
    )
)


class Treatment(StrEnum):
    """How VAT is charged (BIL-8)."""

    STANDARD = "standard"
    REVERSE_CHARGE = "reverse_charge"
    """Within the EU, to a business with a VAT id: the buyer accounts for it (Directive 2006/112/EC, art. 196)."""
    OUTSIDE_SCOPE = "outside_scope"


@dataclass(frozen=True, slots=True)
class Vat:
    """The VAT of an invoice; all lines of fees, costs and buy-outs are treated alike."""

    treatment: Treatment
    rate_bp: int

    def of(self, net: int) -> int:
        return share(net, self.rate_bp)


def vat_for(seller_country: str, buyer: Mapping[str, Any], standard_bp: int) -> Vat:
    """The VAT for a buyer with these invoicing details."""
    country = (buyer.get("address") or {}).get("country", seller_country)
    if country == seller_country:
        return Vat(Treatment.STANDARD, standard_bp)
    if country not in EU:
        return Vat(Treatment.OUTSIDE_SCOPE, 0)
    if buyer.get("vat_id"):
        return Vat(Treatment.REVERSE_CHARGE, 0)
    return Vat(Treatment.STANDARD, standard_bp)


def share(amount: int, rate_bp: int) -> int:
    """A share in basis points of an amount that is not negative, rounded half up."""
    return (2 * amount * rate_bp + 10_000) // 20_000


def due_on(issued_on: date) -> date:
    return issued_on + timedelta(days=TERM_DAYS)


def number(year: int, sequence: int) -> str:
    """As it stands on the document. A year holds a million before they grow longer."""
    return f"{year}-{sequence:06}"


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums of a document or of part of one, in minor units. `fee` is the net before a partner's share was taken off."""

    fee: int
    net: int
    vat: int

    @property
    def gross(self) -> int:
        return self.net + self.vat

    def __sub__(self, other: "Sums") -> "Sums":
        return Sums(self.fee - other.fee, self.net - other.net, self.vat - other.vat)


def sums(fee: int, vat: Vat, off_bp: int = 0) -> Sums:
    """The sums of an invoice; `off_bp` is the share that stays with a partner that invoices its customer itself."""
    net = fee - share(fee, off_bp)
    return Sums(fee, net, vat.of(net))


def credited(fee: int, before: Sums, vat: Vat, off_bp: int = 0) -> Sums:
    """What a credit note over a part of the fee takes back, after others over `before`.

    Counted from the sum of all credit notes, so that they take back exactly the invoice when all is credited.
    """
    return sums(before.fee + fee, vat, off_bp) - before


def paid_net(invoice: Sums, taken_back: Sums, paid: int) -> int:
    """The net part that is paid and not given back, where `paid` of the gross has come in."""
    owed = invoice - taken_back
    if paid >= owed.gross:
        return owed.net
    return min(paid * invoice.net // invoice.gross, owed.net)
