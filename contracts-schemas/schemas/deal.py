"""Facts about deals and the subscriptions they lead to, announced by the contracts service."""

from datetime import date
from typing import ClassVar
from uuid import UUID

from pydantic import Field

from schemas.event import Event, Value
from schemas.values import InvoicingDetails, Money


class Commission(Value):
    """What a partner earns of the subscription's paid invoices (BIL-9)."""

    rate_bp: int = Field(ge=0, le=10_000, description="Share of each paid invoice, net of VAT, in basis points.")
    months: int | None = Field(None, ge=1, description="For how many months from the start; None = as long as it runs.")


class OneOffCost(Value):
    """A cost that comes once, with the first invoice."""

    label: str
    cost: Money


class ContractTerms(Value):
    """The terms of a service contract as they were agreed; a subscription is one too (BIL-12).

    With start S, term k ends on S + (`term_months` + k × `renewal_months`) − 1 day, months clipped to
    the month's last day and always counted from S (CON-9).
    """

    contract_id: UUID
    product_id: UUID
    product_code: str
    """The product's short code, such as `fibre-500`; stands on invoices beside its label."""
    label: str
    starts_on: date
    """First day of service, in `time_zone`; billing months are anchored on it."""
    term_months: int | None = Field(None, ge=1)
    """Length of the first term; None = it runs without term."""
    renewal_months: int | None = Field(None, ge=1)
    """Length of each renewal; None = after the first term it runs on without term."""
    notice_months: int = Field(0, ge=0)
    notice_days: int = Field(0, ge=0, description="Counted after the months.")
    monthly_fee: Money
    one_off: list[OneOffCost] = Field(default_factory=list)
    time_zone: str = "Europe/Amsterdam"
    """IANA name; the dates of this contract are days there."""


class DealFact(Event):
    """What every fact about a deal says; `version` is the deal's."""

    key: ClassVar[str] = "deal_id"
    source: ClassVar[str] = "contracts"

    deal_id: UUID
    customer_id: UUID | None = None
    """None while the deal is about an organisation without an account."""
    partner_id: UUID | None = None
    """None for a customer without partner: then there is no commission."""


class DealRegistered(DealFact):
    """A partner registered a sales opportunity; the platform confirms it within a working day (CON-5)."""

    topic: ClassVar[str] = "deal.registered"

    monthly_value: Money | None = None
    protected_until: date | None = None
    """Last day of protection; None where another partner's open deal is protected."""


class DealWon(DealFact):
    """The customer subscribed; the contract in it starts with this fact alone (CON-6, BIL-12).

    Carries everything billing needs: the contract, who invoices, the parties as they were, and the commission.
    """

    topic: ClassVar[str] = "deal.won"

    customer_id: UUID
    contract: ContractTerms
    invoicer: str = "platform"
    """Who invoices the customer: `platform`, or `partner` (then the platform invoices the partner the
    subscription less the commission, and nothing accrues)."""
    commission: Commission | None = None
    """None where there is no partner, or its agreement gives none."""
    customer: InvoicingDetails
    partner: InvoicingDetails | None = None
    ordered_by: str = "customer"
    """`customer`: by its own admin in the trial account; `partner`: ordered or marked won for it."""


class DealLost(DealFact):
    """The deal is over without a subscription through it."""

    topic: ClassVar[str] = "deal.lost"

    reason: str
    """`price`, `competitor`, `no_decision`, `no_budget`, `timing`, `other`; by the platform `rejected` or
    `duplicate`; by the system `ordered_elsewhere`, when the customer ordered through somebody else."""


class SubscriptionFact(Event):
    """What every fact about a subscription says; `version` is the contract's."""

    key: ClassVar[str] = "contract_id"
    source: ClassVar[str] = "contracts"

    contract_id: UUID
    customer_id: UUID
    partner_id: UUID | None = None


class SubscriptionStarted(SubscriptionFact):
    """A customer's subscription runs; its trial, if there was one, went over into it without a gap."""

    topic: ClassVar[str] = "subscription.started"

    deal_id: UUID
    starts_on: date
    term_ends_on: date | None = None
    """Last day of the first term; None where it runs without term."""
    from_trial: bool = True


class SubscriptionEnded(SubscriptionFact):
    """A customer's subscription is over; its last day was `last_day`."""

    topic: ClassVar[str] = "subscription.ended"

    last_day: date
