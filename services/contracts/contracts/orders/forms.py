"""What several edges take and show of orders."""

from datetime import date
from typing import Any
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from contracts.orders.rules import Reason, State
from contracts.orders.usecases import Move
from contracts.services.rules import Day, Terms


class MoveIn(BaseModel):
    """The next state. `planned` needs `planned_on`, `rejected` and `cancelled` a `reason`."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"state": "planned", "planned_on": "2026-03-20"}]}
    )

    state: State
    planned_on: Day | None = None
    done_on: Day | None = None
    """The day it was done, where that is not today."""
    reason: Reason | None = None

    def move(self) -> Move:
        return Move(self.state, self.planned_on, self.done_on, self.reason)


class OrderOut(BaseModel):
    """An order, with the way it went."""

    order_id: UUID
    version: int
    customer_id: UUID
    partner_id: UUID | None
    kind: str
    state: str
    product_id: UUID
    terms: Terms
    conditions_version: str
    ordered_by: str
    wish_date: date | None
    planned_on: date | None
    originally_planned_on: date | None
    delay_announced_on: date | None
    done_on: date | None
    reason: str | None
    remarks: str
    contract_id: UUID | None
    deal_id: UUID | None
    missing: list[str]
    """What a subscription's order lacks that is kept until it is complete, as dotted names."""
    steps: list[dict[str, Any]]

    @classmethod
    def of(cls, order: Any) -> "OrderOut":
        names = cls.model_fields.keys() - {"order_id"}
        return cls(order_id=order.id, **{name: getattr(order, name) for name in names})
