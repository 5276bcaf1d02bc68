"""Courses by file (CAT-4): rows are checked against what the catalog knows, then published in one step each 500."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from pydantic import BaseModel, ConfigDict

from catalog import partners
from catalog.course_imports.rules import CourseRow, NotUnderstandable, names_of, partners_of
from catalog.courses import usecases as courses
from catalog.courses.rules import Credits, Fault, Owner, faults_of
from catalog.moment import Moment, zone
from catalog.suppliers import usecases as suppliers
from catalog.suppliers.rules import customers_of
from kit.bulk import BulkJob, BulkRow, Kind, Outcome
from kit.db import Session


class CourseFileOptions(BaseModel):
    """What holds for a whole file."""

    model_config = ConfigDict(extra="ignore")

    supplier_id: UUID | None = None
    """For staff: whose courses these are, where a row names no supplier. None: the platform's own."""


@dataclass(frozen=True, slots=True)
class Known:
    """What the catalog knows of all that the rows name."""

    suppliers: Mapping[str, list[UUID]]
    partners: Mapping[str, list[UUID]]
    supplier_ids: set[UUID]
    partner_ids: set[UUID]
    customer_ids: set[UUID]


def key_of(row: CourseRow) -> str:
    """A course's code within its supplier."""
    return f"{(row.supplier or '').lower()}/{row.code}"


async def check(db: Session, job: BulkJob, rows: Sequence[BulkRow[CourseRow]]) -> dict[int, list[dict[str, str]]]:
    """What is wrong with rows by what the catalog knows. Raises `NotWhitelabel` where no row can be right."""
    drafts = await _drafts(db, job, rows)
    return {
        row: [fault._asdict() for fault in found]
        for row, found in ((b.row, drafts[b.row]) for b in rows)
        if isinstance(found, list)
    }


async def apply(db: Session, job: BulkJob, rows: Sequence[BulkRow[CourseRow]]) -> list[Outcome]:
    """Publish or change the courses. What a row names may be gone since it was checked: then it is refused."""
    drafts = await _drafts(db, job, rows)
    good = [d for d in drafts.values() if isinstance(d, courses.Draft)]
    saved = iter(await courses.put_courses(db, good, job.actor, Moment(job.now, zone())))
    return [_saved(next(saved)) if isinstance(drafts[b.row], courses.Draft) else _refused(drafts[b.row]) for b in rows]


def _saved(saved: courses.Saved) -> Outcome:
    return Outcome(result={"course_id": str(saved.course.id), "action": saved.action})


def _refused(found: courses.Draft | list[Fault]) -> Outcome:
    return Outcome(refused=courses.CourseFaulty(found if isinstance(found, list) else []))


COURSE_FILES = Kind(
    name="courses", row=CourseRow, key=key_of, apply=apply, check=check, options=CourseFileOptions, rows_max=50_000
)


async def _drafts(
    db: Session, job: BulkJob, rows: Sequence[BulkRow[CourseRow]]
) -> dict[int, courses.Draft | list[Fault]]:
    """The course that each row says, or what is wrong with it."""
    owner = await _owner(db, job)
    known = await _look_up(db, owner, [b.data for b in rows])
    return {b.row: _draft(b.data, owner, job.tenant == "platform", known) for b in rows}


async def _owner(db: Session, job: BulkJob) -> Owner:
    """Whose courses a file has where its rows do not say."""
    kind, _, tenant_id = job.tenant.partition("/")
    supplier_id = UUID(tenant_id) if kind == "supplier" else job.options.get("supplier_id")
    if kind == "partner":
        await partners.require_whitelabel(db, UUID(tenant_id))
        return Owner("partner", partner_id=UUID(tenant_id))
    if supplier_id is None:
        return Owner("platform")
    found = UUID(str(supplier_id))
    await suppliers.require_active(db, [found])
    return Owner("supplier", supplier_id=found)


async def _look_up(db: Session, owner: Owner, rows: Sequence[CourseRow]) -> Known:
    """Five statements, however many rows."""
    supplier_names = {row.supplier for row in rows if row.supplier}
    partner_names = {name for row in rows for name in partners_of(row.credit_partners)}
    portals = {id_ for row in rows for id_ in customers_of(names_of(row.sites))}
    return Known(
        suppliers=await suppliers.suppliers_named(db, supplier_names),
        partners=await partners.partners_named(db, partner_names),
        supplier_ids=await suppliers.active_of(db, _ids(supplier_names)),
        partner_ids=await partners.active_partners(db, _ids(partner_names)),
        customer_ids=await partners.open_customers(db, _ids(portals)),
    )


def _draft(row: CourseRow, owner: Owner, staff: bool, known: Known) -> courses.Draft | list[Fault]:
    faults: list[Fault] = []
    if row.supplier:
        supplier_id = _only(row.supplier, known.suppliers, known.supplier_ids)
        if supplier_id is None:
            faults.append(Fault("supplier", "unknown", "No supplier, or not just one, has this name or id."))
        elif staff:
            owner = Owner("supplier", supplier_id=supplier_id)
        if not staff and supplier_id != owner.supplier_id:
            faults = [Fault("supplier", "not_yours", "Leave it empty: these are your own courses.")]
    values: dict[UUID, int | None] = {}
    for name, value in partners_of(row.credit_partners).items():
        partner_id = _only(name, known.partners, known.partner_ids)
        if partner_id is None:
            faults.append(Fault("credit_partners", "unknown", f"No partner, or not just one, is known as {name!r}."))
        else:
            values[partner_id] = value
    for customer_id in _ids(customers_of(names_of(row.sites))) - known.customer_ids:
        faults.append(Fault("sites", "unknown", f"No customer {customer_id} is known."))
    scope = "chosen" if row.credit_partners else "none" if row.credits is None else "all"
    try:
        content = row.content(zone(), Credits(scope, row.credits, values))
    except NotUnderstandable as error:
        return [*faults, Fault("sessions", "time", str(error))]
    faults += courses.site_faults(content.sites)
    if not faults:
        faults = faults_of(owner, content)
    return [_column(fault) for fault in faults] if faults else courses.Draft(owner, content)


def _column(fault: Fault) -> Fault:
    """A fault of a course, by the column of the file that it is about."""
    named = {"list_price": "price", "cancellation.free_until_days": "free_until_days"}
    field = named.get(fault.field.removesuffix(".amount"), fault.field)
    return fault._replace(field="credits" if field.startswith("credits") else field.partition(".")[0])


def _only(name: str, by_name: Mapping[str, list[UUID]], ids: set[UUID]) -> UUID | None:
    """The one that is meant, by id or by name."""
    found = [id_ for id_ in _ids([name]) if id_ in ids] or by_name.get(name.lower(), [])
    return found[0] if len(found) == 1 else None


def _ids(names: Sequence[str] | set[str]) -> set[UUID]:
    """Those of the names that are ids."""
    found: set[UUID] = set()
    for name in names:
        try:
            found.add(UUID(name))
        except ValueError:
            continue
    return found
