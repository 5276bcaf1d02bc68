"""The wiring of billing, and all of it."""

from billing.commissions.http import router as commissions
from billing.enrollments.consumers import on_enrollments
from billing.instructions.http import router as instructions
from billing.invoices.http import router as invoices
from billing.parties.consumers import on_customers_changed, on_people_changed, on_suppliers_changed
from billing.parties.http import router as parties
from billing.parties.usecases import partner_of_customer
from billing.settings import Settings
from billing.subscriptions.consumers import on_contracts
from billing.subscriptions.http import router as schedules
from billing.subscriptions.jobs import invoice_months
from billing.wallets.consumers import on_partners_changed
from billing.wallets.http import router as wallets
from kit import Service
from kit.auth import on_access_changed
from kit.cli import command_line
from kit.testclock import on_clock_changed
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
        on_contracts,
        on_clock_changed,
    ],
    routers=[wallets, parties, instructions, schedules, invoices, commissions],
    jobs=[invoice_months],
    gauges={
        "billing_wallets_depleted": (
            "Wallets that are depleted now",
            "select count(*) from wallets where depleted",
        ),
        "billing_credits_outstanding": (
            "Credits that partners can still spend or hold",
            "select coalesce(sum(available + held), 0) from wallets",
        ),
        "billing_contracts_without_details": (
            "Contracts that cannot be invoiced, because invoicing details are missing",
            "select count(*) from schedules where retry_at is not null",
        ),
    },
    partner_of_customer=partner_of_customer,
)

cli = command_line(service)
