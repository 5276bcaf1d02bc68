"""The wiring of billing, and all of it."""

from billing.enrollments.consumers import on_enrollments
from billing.instructions.http import router as instructions
from billing.parties.consumers import on_customers_changed, on_people_changed, on_suppliers_changed
from billing.parties.http import router as parties
from billing.parties.usecases import partner_of_customer
from billing.settings import Settings
from billing.wallets.consumers import on_partners_changed
from billing.wallets.http import router as wallets
from kit import Service
from kit.auth import on_access_changed
from kit.cli import command_line
from schemas.commission import CommissionAccrued
from schemas.credits import (
    CreditsCharged,
    CreditsDepleted,
    CreditsHeld,
    CreditsRefunded,
    CreditsRefused,
    CreditsReleased,
    CreditsReplenished,
    CreditsToppedUp,
)
from schemas.invoice import (
    InvoiceCredited,
    InvoiceInstructed,
    InvoiceIssued,
    InvoicePaid,
    InvoiceRefused,
    InvoicingChanged,
)

service = Service(
    name="billing",
    package="billing",
    settings=Settings,
    publishes=[
        CreditsToppedUp,
        CreditsHeld,
        CreditsReleased,
        CreditsCharged,
        CreditsRefused,
        CreditsRefunded,
        CreditsDepleted,
        CreditsReplenished,
        InvoicingChanged,
        InvoiceInstructed,
        InvoiceRefused,
        InvoiceIssued,
        InvoicePaid,
        InvoiceCredited,
        CommissionAccrued,
    ],
    consumers=[
        on_access_changed,
        on_partners_changed,
        on_customers_changed,
        on_suppliers_changed,
        on_people_changed,
        on_enrollments,
    ],
    routers=[wallets, parties, instructions],
    gauges={
        "billing_wallets_depleted": (
            "Wallets that are depleted now",
            "select count(*) from wallets where depleted",
        ),
        "billing_credits_outstanding": (
            "Credits that partners can still spend or hold",
            "select coalesce(sum(available + held), 0) from wallets",
        ),
    },
    partner_of_customer=partner_of_customer,
)

cli = command_line(service)
