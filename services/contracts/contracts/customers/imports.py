"""A partner's customers from a CSV file (CON-2): who is not there yet is made; who is stays as it is."""

from collections.abc import Mapping, Sequence
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError

from contracts.customers.rules import TRIAL_DAYS, TRIAL_DAYS_MAX, Invoicing, PostalAddress, Size, Status
from contracts.customers.usecases import NewCustomer, add_customers
from contracts.overview.rules import sort_name
from contracts.overview.usecases import customers_named
from contracts.partners.usecases import PartnerNotFound, partner_named
from contracts.zones import TimeZone
from kit.bulk import BulkJob, BulkRow, Kind, Outcome
from kit.db import Session
from kit.problems import field_errors

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=200)]


class CustomerRow(BaseModel):
    """A customer in a file. The name says which one it is."""

    name: Line
    status: Annotated[str, StringConstraints(pattern="^(company|trial)$")] = "company"
    trial_days: int = Field(TRIAL_DAYS, ge=1, le=TRIAL_DAYS_MAX)
    size: Size = Size.LARGE
    language: Annotated[str, StringConstraints(pattern="^(en|nl|it)$")] = "en"
    time_zone: TimeZone | None = None
    legal_name: str | None = None
    street: str | None = None
    postal_code: str | None = None
    city: str | None = None
    country: str | None = None
    vat_id: str | None = None
    registration_number: str | None = None
    invoice_email: str | None = None

    def invoicing(self) -> Invoicing:
        """What its invoices carry. Raises `ValidationError`."""
        address = {name: getattr(self, name) for name in PostalAddress.model_fields}
        own = {name: getattr(self, name) for name in Invoicing.model_fields if name != "address"}
        return Invoicing.model_validate(own | {"address": address})


class CustomerOptions(BaseModel):
    """Whose customers they are; a partner's admin imports its own."""

    model_config = ConfigDict(extra="ignore")

    partner_id: UUID | None = None


def _partner_of(job: BulkJob) -> UUID | None:
    """The partner that the file is for: that of the uploader, or the one that staff named."""
    kind, _, own = job.tenant.partition("/")
    return UUID(own) if kind == "partner" else CustomerOptions.model_validate(job.options).partner_id


async def _check(db: Session, job: BulkJob, rows: Sequence[BulkRow[CustomerRow]]) -> Mapping[int, list[dict[str, str]]]:
    partner_id = _partner_of(job)
    partner = await partner_named(db, partner_id) if partner_id else None
    if partner is None or partner.status != "active":
        wrong = {"field": "partner_id", "rule": "partner-not-found", "remedy": PartnerNotFound.title}
        return {row.row: [wrong] for row in rows}
    found = {}
    for row in rows:
        try:
            row.data.invoicing()
        except ValidationError as error:
            found[row.row] = field_errors(error.errors())
    return found


async def _apply(db: Session, job: BulkJob, rows: Sequence[BulkRow[CustomerRow]]) -> list[Outcome]:
    partner_id = _partner_of(job)
    if partner_id is None:
        return [Outcome(refused=PartnerNotFound(field="partner_id"))] * len(rows)
    known = await customers_named(db, partner_id, [sort_name(row.data.name) for row in rows])
    new = [row for row in rows if sort_name(row.data.name) not in known]
    wishes = [
        NewCustomer(
            name=row.data.name,
            size=row.data.size,
            language=row.data.language,
            status=Status(row.data.status),
            partner_id=partner_id,
            invoicing=row.data.invoicing(),
            time_zone=row.data.time_zone,
            trial_days=row.data.trial_days,
        )
        for row in new
    ]
    made = await add_customers(db, partner_id, wishes, actor=job.actor, now=job.now)
    added = {row.row: customer.id for row, customer in zip(new, made, strict=True)}
    return [
        Outcome({"customer_id": added[row.row], "outcome": "added"})
        if row.row in added
        else Outcome({"customer_id": known[sort_name(row.data.name)], "outcome": "unchanged"})
        for row in rows
    ]


CUSTOMERS: Kind[CustomerRow] = Kind(
    "customers",
    CustomerRow,
    key=lambda row: sort_name(row.name),
    check=_check,
    apply=_apply,
    options=CustomerOptions,
)
