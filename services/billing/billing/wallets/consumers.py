"""What contracts tells about partners."""

from collections.abc import Sequence

from billing.wallets.usecases import PartnerNow, keep_partners
from kit import clock
from kit.db import Session
from kit.inbox import batches
from schemas.partner import PartnerChanged


@batches(PartnerChanged)
async def on_partners_changed(db: Session, events: Sequence[PartnerChanged]) -> None:
    """Copy partners, and open the wallets of those that pay by wallet."""
    partners = [
        PartnerNow(e.partner_id, e.version, e.name, e.status, e.wallet, e.language, e.invoicing.model_dump())
        for e in events
    ]
    await keep_partners(db, partners, clock.now())
