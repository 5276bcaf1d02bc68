"""The wiring of contracts, and all of it."""

from contracts.access.consumers import on_people_changed, on_suppliers_changed
from contracts.access.http import router as access
from contracts.access.jobs import announce_bound
from contracts.attention.consumers import on_approvals
from contracts.attention.http import router as attention
from contracts.attention.jobs import wake_snoozed_items
from contracts.buyouts.consumers import on_invoices
from contracts.clocks import router as clocks
from contracts.customers.http import router as customers
from contracts.customers.imports import CUSTOMERS
from contracts.customers.jobs import (
    end_trials_that_are_over,
    renew_subscriptions_that_run_on,
    warn_of_trials_that_end,
)
from contracts.customers.usecases import partner_of_customer
from contracts.deals.http import router as deals
from contracts.deals.jobs import complete_orders, give_notice_of_protection
from contracts.orders.http import router as orders
from contracts.overview.http import router as overview
from contracts.partners.http import logos
from contracts.partners.http import router as partners
from contracts.portings.http import router as portings
from contracts.services.http import router as services
from contracts.services.jobs import renew_terms
from contracts.settings import Settings
from contracts.terminations.http import router as terminations
from contracts.terminations.jobs import (
    alert_finance,
    end_ported_services,
    end_services,
    expire_asked_terminations,
    remind_of_terminations,
)
from contracts.terminations.pages import PURPOSES as TERMINATION_PAGES
from contracts.usage.http import router as usage
from contracts.usage.jobs import count_activities_of_the_new_day
from kit import Service, bulk, links
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
    consumers=[on_access_changed, on_clock_changed, on_people_changed, on_suppliers_changed, on_invoices, on_approvals],
    routers=[
        partners,
        logos,
        access,
        customers,
        bulk.router("/v1/customer-imports", CUSTOMERS, ["admin", "support", "partner_admin"]),
        overview,
        usage,
        attention,
        clocks,
        services,
        deals,
        orders,
        portings,
        terminations,
        links.router(TERMINATION_PAGES),
    ],
    jobs=[
        *bulk.workers(CUSTOMERS),
        announce_bound,
        end_trials_that_are_over,
        warn_of_trials_that_end,
        renew_subscriptions_that_run_on,
        wake_snoozed_items,
        count_activities_of_the_new_day,
        renew_terms,
        give_notice_of_protection,
        complete_orders,
        remind_of_terminations,
        expire_asked_terminations,
        alert_finance,
        end_services,
        end_ported_services,
    ],
    gauges={
        "contracts_terminations_due": (
            "Services whose last day is over and that have not ended yet",
            "select count(*) from terminations where ends_at <= now()",
        ),
        "contracts_terminations_overdue": (
            "Early terminations for which finance is late",
            "select count(*) from terminations where finance_due_at <= now()",
        ),
    },
    partner_of_customer=partner_of_customer,
)

cli = command_line(service)
