"""What buy-outs listen to: which fees of a contract are invoiced, paid and credited."""

from collections.abc import Sequence

from contracts.buyouts.usecases import FEES, ONE_OFF, Document, keep_documents
from kit.consumer import batches
from kit.db import Session
from schemas.invoice import InvoiceCredited, InvoiceFact, InvoiceIssued, InvoicePaid


@batches(InvoiceIssued, InvoicePaid, InvoiceCredited)
async def on_invoices(db: Session, events: Sequence[InvoiceFact]) -> None:
    """Keep what the customer was invoiced, has paid and got back of each contract (CON-11, BIL-10)."""
    documents = [
        Document(
            id=event.invoice_id,
            contract_id=event.contract_id,
            matter=event.matter,
            net=event.net.amount,
            period_from=event.period_from,
            period_to=event.period_to,
            paid=isinstance(event, InvoicePaid),
            credits=event.credited_invoice_id if isinstance(event, InvoiceCredited) else None,
        )
        for event in events
        if event.contract_id and event.matter in (FEES, ONE_OFF) and event.payer == "customer"
    ]
    await keep_documents(db, documents)
