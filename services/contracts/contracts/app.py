"""The wiring of contracts, and all of it."""

from contracts.access.consumers import on_people_changed, on_suppliers_changed
from contracts.access.http import router as access
from contracts.access.jobs import announce_bound
from contracts.attention.http import router as attention
from contracts.attention.jobs import wake_snoozed_items
from contracts.clocks import router as clocks
from contracts.customers.http import router as customers
from contracts.customers.jobs import (
    end_trials_that_are_over,
    renew_subscriptions_that_run_on,
    warn_of_trials_that_end,
)
from contracts.customers.usecases import partner_of_customer
from contracts.partners.http import router as partners
from contracts.services.http import router as services
from contracts.services.jobs import renew_terms
from contracts.settings import Settings
from kit import Service
from kit.auth import on_access_changed
from kit.cli import command_line
from kit.testclock import on_clock_changed
from schemas import contract, deal
from schemas.access import AccessChanged
from schemas.clock import ClockChanged
from schemas.customer import CustomerChanged
from schemas.partner import PartnerChanged

service = Service(
    name="contracts",
    package="contracts",
    settings=Settings,
    publishes=[
        PartnerChanged,
        AccessChanged,
        CustomerChanged,
        ClockChanged,
        deal.DealRegistered,
        deal.DealWon,
        deal.DealLost,
        deal.SubscriptionStarted,
        deal.SubscriptionEnded,
        contract.OrderPlaced,
        contract.PortingChanged,
        contract.ServiceActivated,
        contract.TerminationRequested,
        contract.TerminationApproved,
        contract.TerminationClosed,
        contract.BuyoutProposed,
        contract.BuyoutAccepted,
        contract.TerminationScheduled,
        contract.ContractTerminated,
    ],
    consumers=[on_access_changed, on_clock_changed, on_people_changed, on_suppliers_changed],
    routers=[partners, access, customers, attention, clocks, services],
    jobs=[
        announce_bound,
        end_trials_that_are_over,
        warn_of_trials_that_end,
        renew_subscriptions_that_run_on,
        wake_snoozed_items,
        renew_terms,
    ],
    partner_of_customer=partner_of_customer,
)

cli = command_line(service)
