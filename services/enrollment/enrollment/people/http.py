"""People over HTTP."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Query, Response
from pydantic import AfterValidator, BaseModel, ConfigDict

from enrollment.people import usecases
from enrollment.people.rules import email_of, language_of, name_of
from enrollment.people.usecases import (
    BelongsNowhere,
    CustomerNotFound,
    EmailTaken,
    ManagerNotFound,
    ManagerOfThemselves,
    PartnerNotFound,
    PersonNotFound,
    RoleForCustomersOnly,
)
from kit import audit
from kit.auth import RoleMissing
from kit.http import Caller, Db, IfMatch, Items, Once, Page, Router, etag, needs, page, problems

router = Router(prefix="/v1/people", tags=["people"])

READERS = ("admin", "support", "partner_admin", "customer_admin", "hr", "manager", "learner")
EDITORS = ("admin", "support", "partner_admin", "customer_admin", "hr")

Name = Annotated[str, AfterValidator(name_of)]
Email = Annotated[str, AfterValidator(email_of)]
Language = Annotated[str, AfterValidator(language_of)]
PersonRole = Literal["manager", "hr", "customer_admin"]


class PersonIn(BaseModel):
    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "Anna de Wit", "email": "anna@acme.example", "language": "nl"}]}
    )

    name: Name
    email: Email
    language: Language = "en"
    customer_id: UUID | None = None
    """The customer it belongs to. A partner's admin gives this, or leaves it for the partner's own people."""
    partner_id: UUID | None = None
    manager_id: UUID | None = None
    roles: list[PersonRole] = []


class PersonEdit(BaseModel):
    """Only what is given is changed."""

    name: Name | None = None
    email: Email | None = None
    language: Language | None = None
    manager_id: UUID | None = None
    roles: list[PersonRole] | None = None
    status: Literal["active", "left"] | None = None


class PersonOut(BaseModel):
    person_id: UUID
    version: int
    status: str
    name: str | None
    email: str | None
    language: str
    customer_id: UUID | None
    partner_id: UUID | None
    manager_id: UUID | None
    roles: list[str]


def shown(p: usecases.Person) -> PersonOut:
    return PersonOut(
        person_id=p.id, **{name: getattr(p, name) for name in PersonOut.model_fields if name != "person_id"}
    )


def check_roles(caller: Caller, roles: list[PersonRole]) -> None:
    """HR makes learners and managers; who may act for the whole customer is decided by its admin."""
    if set(roles) - {"manager"} and not caller.has("admin", "support", "partner_admin", "customer_admin"):
        raise RoleMissing("HR may give the role manager only.", roles=["customer_admin"], field="roles")


def check_may_edit(caller: Caller, person: usecases.Person) -> None:
    """HR edits learners and managers only: who changes somebody's address can become that somebody."""
    if set(person.roles) - {"manager"} and not caller.has(*set(EDITORS) - {"hr"}):
        raise RoleMissing("HR may edit learners and managers only.", roles=["customer_admin"])


@router.post(
    "",
    status_code=201,
    dependencies=[needs(*EDITORS)],
    responses=problems(
        CustomerNotFound,
        PartnerNotFound,
        BelongsNowhere,
        EmailTaken,
        ManagerNotFound,
        ManagerOfThemselves,
        RoleForCustomersOnly,
    ),
)
async def post_person(body: PersonIn, caller: Caller, db: Db, once: Once, response: Response) -> PersonOut:
    """Add a person, free of charge (ENR-1). Its manager is an active person of the same customer or partner."""
    check_roles(caller, body.roles)
    given = body.model_dump()
    if caller.tenant_kind == "customer":
        given |= {"customer_id": body.customer_id or caller.tenant_id, "partner_id": None}
    elif caller.tenant_kind == "partner" and body.customer_id is None:
        given["partner_id"] = body.partner_id or caller.tenant_id
    person = await usecases.create(db, **given)
    await audit.record(db, caller.actor, "person.added", subject=f"person/{person.id}")
    response.headers["Location"] = f"/v1/people/{person.id}"
    response.headers["ETag"] = etag(person.version)
    return shown(person)


@router.get("", dependencies=[needs(*READERS)])
async def get_people(
    caller: Caller,
    db: Db,
    window: Page,
    customer_id: UUID | None = None,
    partner_id: UUID | None = None,
    manager_id: UUID | None = None,
    status: str | None = None,
    email: Annotated[str | None, Query(description="The whole address.")] = None,
) -> Items[PersonOut]:
    """The people the caller may see, oldest first."""
    asked = {
        "customer_id": customer_id,
        "partner_id": partner_id,
        "manager_id": manager_id,
        "status": status,
        "email": email and email.lower(),
    }
    query, order = usecases.listed(caller, {k: v for k, v in asked.items() if v is not None})
    return await page(db, query, order, window, lambda row: shown(usecases.from_row(row)))


@router.get("/{person_id}", dependencies=[needs(*READERS)], responses=problems(PersonNotFound))
async def get_person(person_id: UUID, caller: Caller, db: Db, response: Response) -> PersonOut:
    """One person. Its ETag is what an edit needs."""
    person = await usecases.get(db, person_id, caller)
    response.headers["ETag"] = etag(person.version)
    return shown(person)


@router.patch(
    "/{person_id}",
    dependencies=[needs(*EDITORS)],
    responses=problems(PersonNotFound, EmailTaken, ManagerNotFound, ManagerOfThemselves, RoleForCustomersOnly),
)
async def patch_person(
    person_id: UUID, body: PersonEdit, caller: Caller, db: Db, match: IfMatch, response: Response
) -> PersonOut:
    """Edit a person. Who has left loses access at once; running enrollments go on."""
    person = await usecases.get(db, person_id, caller, lock=True)
    match.check(person.version)
    check_may_edit(caller, person)
    changes = body.model_dump(exclude_unset=True)
    if set(changes.get("roles") or person.roles) != set(person.roles):
        check_roles(caller, changes["roles"])
    # `manager_id: null` takes the manager away; for the others null means nothing.
    person = await usecases.edit(db, person, **{k: v for k, v in changes.items() if v is not None or k == "manager_id"})
    await audit.record(
        db, caller.actor, "person.changed", subject=f"person/{person_id}", detail={"fields": sorted(changes)}
    )
    response.headers["ETag"] = etag(person.version)
    return shown(person)


@router.post("/{person_id}/erase", dependencies=[needs("admin", "support")], responses=problems(PersonNotFound))
async def post_erase(person_id: UUID, caller: Caller, db: Db, once: Once) -> PersonOut:
    """Forget who the person was (PRI-1). Enrollments stay, under the person's id alone."""
    await audit.record(db, caller.actor, "person.erased", subject=f"person/{person_id}")
    return shown(await usecases.erase(db, await usecases.get(db, person_id, caller, lock=True)))
