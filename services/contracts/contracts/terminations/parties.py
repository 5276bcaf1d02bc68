"""Who is concerned by the end of a customer's services: their names, their languages, where they read mail."""

from collections.abc import Iterable
from dataclasses import dataclass
from uuid import UUID

from contracts.customers.usecases import customer_of
from contracts.partners.usecases import partner_named
from contracts.settings import Settings
from kit.auth import Role, emails_of
from kit.db import SETTINGS, Session
from kit.problems import Refused


class NobodyToAsk(Refused):
    """The customer has no administrator who could approve the end of its services."""

    rule = "CON-10"
    remedy = "Give somebody the role customer_admin for the customer, then request it again."


@dataclass(frozen=True, slots=True)
class Party:
    """One of those who are told: addresses that read one language."""

    addresses: tuple[str, ...]
    language: str


@dataclass(frozen=True, slots=True)
class Parties:
    """The customer, its partner where it has one, and the platform."""

    customer_name: str
    partner_name: str
    """The platform's own name, where there is no partner."""
    signed_by: str
    """Whose name stands on pages, documents and mails: a whitelabel partner's people see that partner's alone."""
    customer: Party
    partner: Party
    platform: Party
    finance: Party

    @property
    def everyone(self) -> tuple[Party, Party, Party]:
        """Who gets a confirmation (CON-12)."""
        return self.customer, self.partner, self.platform


async def parties_of(db: Session, customer_id: UUID) -> Parties:
    """Who is concerned by a customer's services."""
    return (await parties_of_many(db, [customer_id]))[customer_id]


async def parties_of_many(db: Session, customer_ids: Iterable[UUID]) -> dict[UUID, Parties]:
    """`parties_of` for several customers."""
    settings: Settings = db.info[SETTINGS]
    found: dict[UUID, Parties] = {}
    for customer_id in set(customer_ids):
        customer = await customer_of(db, customer_id)
        partner = await partner_named(db, customer.partner_id) if customer.partner_id else None
        admins = await emails_of(db, Role.CUSTOMER_ADMIN, [customer_id])
        partner_admins = await emails_of(db, Role.PARTNER_ADMIN, [partner.id]) if partner else {}
        partners = partner_admins.get(partner.id, []) if partner else []
        found[customer_id] = Parties(
            customer_name=customer.name,
            partner_name=partner.name if partner else "Tandem",
            signed_by=partner.name if partner and partner.kind == "whitelabel" else "Tandem",
            customer=Party(tuple(admins.get(customer_id, ())), customer.language),
            partner=Party(tuple(partners), partner.language if partner else "en"),
            platform=Party((settings.platform_email,), "en"),
            finance=Party((settings.finance_email or settings.platform_email,), "en"),
        )
    return found
