"""People from a CSV file: who is new is added, who is there already is brought up to date (ENR-1, CAT-4)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Any
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from sqlalchemy import select

from enrollment.people import usecases
from enrollment.people.rules import email_of, language_of, name_of
from enrollment.people.usecases import CustomerNotFound, ManagerNotFound, Person
from kit.bulk import BulkJob, BulkRow, Kind, Outcome
from kit.bulk import rows as bulk_rows
from kit.db import Session, uuid7
from kit.problems import Refused


def _roles_of(cell: str) -> str:
    unknown = set(cell.split()) - set(usecases.ROLES)
    if unknown:
        raise ValueError(f"of {', '.join(usecases.ROLES)}, with blanks between")
    return " ".join(sorted(set(cell.split())))


class PersonRow(BaseModel):
    """A person in a file. An empty cell leaves what is there."""

    name: Annotated[str, AfterValidator(name_of)]
    email: Annotated[str, AfterValidator(email_of)]
    language: Annotated[str, AfterValidator(language_of)] | None = None
    customer_id: UUID | None = None
    """The customer it belongs to; without one, the customer or partner that the upload is for."""
    manager_email: Annotated[str, AfterValidator(email_of)] | None = None
    """Its manager, of the same customer or partner; may stand anywhere in the file, or be there already."""
    roles: Annotated[str, AfterValidator(_roles_of)] | None = None
    """`manager`, `hr`, `customer_admin`, with blanks between."""


class PeopleOptions(BaseModel):
    """Where people without a `customer_id` of their own belong; the caller's own tenant unless said."""

    model_config = ConfigDict(extra="ignore")

    customer_id: UUID | None = None
    partner_id: UUID | None = Field(None)


@dataclass(frozen=True, slots=True)
class Home:
    """A customer or partner that people belong to."""

    id: UUID
    is_customer: bool
    partner_id: UUID | None


class AddedMeanwhile(Refused):
    """Somebody else was just adding the same person."""

    rule = "ENR-1"
    remedy = "Import the row again."


async def _homes(
    db: Session, job: BulkJob, rows: Sequence[BulkRow[PersonRow]]
) -> tuple[dict[UUID, Home], dict[int, UUID | None]]:
    """The homes the job may fill, and the one each row asks for."""
    options = PeopleOptions.model_validate(job.options)
    kind, _, own = job.tenant.partition("/")
    default = options.customer_id or options.partner_id or (UUID(own) if kind in ("customer", "partner") else None)
    asked = {row.row: row.data.customer_id or default for row in rows}
    found = await usecases.homes(db, {home for home in asked.values() if home})
    homes = {id_: Home(id_, is_customer, partner_id) for id_, (is_customer, partner_id) in found.items()}

    def mine(home: Home) -> bool:
        # The job runs where row-level security lets everything through.
        return kind == "platform" or job.tenant in (f"customer/{home.id}", f"partner/{home.partner_id}")

    return {id_: home for id_, home in homes.items() if mine(home)}, asked


async def _check(db: Session, job: BulkJob, rows: Sequence[BulkRow[PersonRow]]) -> Mapping[int, list[dict[str, str]]]:
    homes, asked = await _homes(db, job, rows)
    wrong = {"field": "customer_id", "rule": "customer-not-found", "remedy": str(CustomerNotFound.remedy)}
    return {row.row: [wrong] for row in rows if asked[row.row] not in homes}


async def _apply(db: Session, job: BulkJob, rows: Sequence[BulkRow[PersonRow]]) -> list[Outcome]:
    """One statement per kind of row: who is there, who is added, who is changed."""
    homes, asked = await _homes(db, job, rows)
    wanted = [(row, homes[home_id]) for row in rows if (home_id := asked[row.row]) in homes and home_id]
    keys = {(home.id, email) for row, home in wanted for email in (row.data.email, row.data.manager_email) if email}
    known = await usecases.by_email(db, keys)
    await _add_managers_further_down(db, job, wanted, known)
    new: list[Person] = []
    changed: list[Person] = []
    outcomes: dict[int, Outcome] = {}
    for row, home in wanted:
        held = known.get((home.id, row.data.email))
        try:
            person = _as_wanted(row.data, home, held, known)
        except Refused as refusal:
            outcomes[row.row] = Outcome(refused=refusal)
            continue
        said = "added" if held is None else "unchanged" if person == held else "changed"
        if held is None:
            new.append(person)
        elif person != held:
            changed.append(person)
        known[home.id, row.data.email] = person
        outcomes[row.row] = Outcome({"person_id": person.id, "outcome": said})
    await _add(db, new)
    await usecases.change(db, changed)
    missing = Outcome(refused=CustomerNotFound(field="customer_id"))
    return [outcomes.get(row.row, missing) for row in rows]


async def _add(db: Session, new: Sequence[Person]) -> None:
    """Raises `AddedMeanwhile`; the rows are then looked at again, and find who is there."""
    if len(await usecases.add(db, new)) < len(new):
        raise AddedMeanwhile(field="email")


def _as_wanted(row: PersonRow, home: Home, held: Person | None, known: Mapping[tuple[UUID, str], Person]) -> Person:
    person = held or Person(
        uuid7(),
        1,
        "active",
        row.name,
        row.email,
        "en",
        home.id if home.is_customer else None,
        home.partner_id,
        None,
        [],
    )
    changes: dict[str, Any] = {"name": row.name}
    if row.language:
        changes["language"] = row.language
    if row.roles is not None:
        changes["roles"] = row.roles.split()
    if row.manager_email:
        manager = known.get((home.id, row.manager_email))
        if manager is None or manager.id == person.id:
            raise ManagerNotFound(field="manager_email")
        changes["manager_id"] = manager.id
    wanted = replace(person, **changes)
    if wanted.roles != person.roles:
        usecases.check_roles(wanted)
    return wanted


async def _add_managers_further_down(
    db: Session,
    job: BulkJob,
    wanted: Sequence[tuple[BulkRow[PersonRow], Home]],
    known: dict[tuple[UUID, str], Person],
) -> None:
    """A manager may stand below its people in the file: it is added first, its own row completes it."""
    here = {(home.id, row.data.email): (row.data, home) for row, home in wanted}
    needed = {
        (home.id, row.data.manager_email): home
        for row, home in wanted
        if row.data.manager_email and (home.id, row.data.manager_email) not in known
    }
    below = {key: home for key, home in needed.items() if key not in here}
    found = {key: here[key][0] for key in needed if key in here}
    if below:
        columns = bulk_rows.c
        keys = [_key_of(customer, email) for home_id, email in below for customer in (None, home_id)]
        later = select(columns.data).where(columns.job_id == job.id, columns.state == "good", columns.key.in_(keys))
        for data in (await db.execute(later)).scalars():
            row = PersonRow.model_validate(data)
            found |= {k: row for k in below if k[1] == row.email and row.customer_id in (None, k[0])}
    managers = [
        _as_wanted(row.model_copy(update={"manager_email": None}), needed[key], None, known)
        for key, row in sorted(found.items(), key=lambda item: item[0][1])
    ]
    await _add(db, managers)
    known |= {(m.home, m.email): m for m in managers if m.home and m.email}


def _key_of(customer_id: UUID | None, email: str) -> str:
    return f"{customer_id or ''}/{email}"


PEOPLE: Kind[PersonRow] = Kind(
    "people",
    PersonRow,
    key=lambda row: _key_of(row.customer_id, row.email),
    check=_check,
    apply=_apply,
    options=PeopleOptions,
)
