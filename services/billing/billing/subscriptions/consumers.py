"""What contracts tells about contracts: their start, and every step to their end."""

from collections.abc import Sequence

from billing.subscriptions.usecases import Ending, Started, follow
from kit import clock
from kit.db import Session
from kit.inbox import batches
from schemas.contract import (
    BuyoutAccepted,
    ContractTerminated,
    ServiceActivated,
    TerminationClosed,
    TerminationFact,
    TerminationScheduled,
)
from schemas.deal import DealWon


@batches(DealWon, ServiceActivated, TerminationScheduled, TerminationClosed, ContractTerminated, BuyoutAccepted)
async def on_contracts(db: Session, events: Sequence[DealWon | ServiceActivated | TerminationFact]) -> None:
    """Begin, end and settle the fees of contracts (BIL-9, BIL-10, BIL-12)."""
    await follow(db, [_ending(e) if isinstance(e, TerminationFact) else _started(e) for e in events], clock.now())


def _started(event: DealWon | ServiceActivated) -> Started:
    terms = event.contract.model_dump(mode="json")
    if not isinstance(event, DealWon):
        return Started(event.contract.contract_id, event.customer_id, event.partner_id, terms, event.invoicer)
    return Started(
        event.contract.contract_id,
        event.customer_id,
        event.partner_id,
        terms,
        event.invoicer,
        event.deal_id,
        event.commission.model_dump() if event.commission and event.partner_id else None,
        event.customer.model_dump(),
        event.partner.model_dump() if event.partner else None,
    )


def _ending(event: TerminationFact) -> Ending:
    state, last_day, buyout = "open", None, None
    match event:
        case TerminationScheduled():
            state, last_day = "scheduled", event.last_day
        case ContractTerminated():
            state, last_day = "terminated", event.last_day
        case TerminationClosed():
            state = "closed"
        case BuyoutAccepted():
            buyout = event.amount.model_dump() | {"set_off": [off.model_dump(mode="json") for off in event.set_off]}
    return Ending(
        event.termination_id,
        event.contract_id,
        event.customer_id,
        event.partner_id,
        event.version,
        state,
        last_day,
        buyout,
    )
