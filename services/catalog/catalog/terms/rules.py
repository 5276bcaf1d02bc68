"""Whom commercial terms may be for, and within which limits (CAT-6, CAT-13)."""

from dataclasses import dataclass
from datetime import date
from uuid import UUID

DEFAULT_DISCOUNT_BP = 1_500
DEFAULT_PLATFORM_SHARE_BP = 5_000
"""Half of the discount."""
ALWAYS = date(2000, 1, 1)
"""From when the terms hold that were there before anybody changed them."""


@dataclass(frozen=True, slots=True)
class Scope:
    """For whom terms are: everybody, one supplier's public enrollments, or one supplier × one customer."""

    kind: str
    supplier_id: UUID | None = None
    customer_id: UUID | None = None

    @property
    def is_default(self) -> bool:
        return self.supplier_id is None and self.customer_id is None

    @property
    def makes_sense(self) -> bool:
        """Business terms name both sides or neither; public ones never a customer: a visitor has none."""
        if self.kind == "public":
            return self.customer_id is None
        return (self.supplier_id is None) == (self.customer_id is None)


@dataclass(frozen=True, slots=True)
class Fee:
    """A least fee an enrollment; on public enrollments a fixed amount added. In minor units."""

    amount: int
    currency: str


@dataclass(frozen=True, slots=True)
class Figures:
    """What terms say, in basis points: of the price, and of the discount (public: of the price)."""

    discount_bp: int
    platform_share_bp: int
    minimum_fee: Fee | None = None


def fit(scope: Scope, figures: Figures) -> bool:
    """Whether the figures belong to the kind: a visitor who books on the public site gets no discount."""
    return scope.kind != "public" or figures.discount_bp == 0
