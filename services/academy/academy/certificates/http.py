"""Certificates over HTTP: for those they concern under /v1, for everybody by their number."""

import asyncio
from datetime import date, datetime
from typing import Annotated, Any, Literal, Self
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import Header, Query, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, RedirectResponse
from pydantic import BaseModel, ConfigDict, StringConstraints

from academy.certificates.badge import MEDIA_TYPE, Earned, badge, signer_of
from academy.certificates.page import HEADERS, Shown, language_for, verification_page
from academy.certificates.pdf import Printed, render
from academy.certificates.rules import NotANumber, read_number
from academy.certificates.usecases import (
    AlreadyRevoked,
    CertificateNotFound,
    address_of,
    find_certificate,
    revoke_certificate,
    seen_by,
    verify,
)
from academy.settings import Settings
from kit.auth import Role
from kit.http import Caller, Db, Items, Once, Page, PublicDb, Router, needs, now, page, problems
from kit.problems import Refused, on_pages

router = Router(tags=["certificates"])

READERS = (
    Role.ADMIN,
    Role.SUPPORT,
    Role.PARTNER_ADMIN,
    Role.CUSTOMER_ADMIN,
    Role.HR,
    Role.MANAGER,
    Role.LEARNER,
)


class CertificateIsRevoked(Refused):
    """The certificate was revoked, so there is no badge for it."""

    status = 410
    rule = "ACA-6"


class CertificateOut(BaseModel):
    """A certificate."""

    certificate_id: UUID
    number: str
    enrollment_id: UUID
    person_id: UUID
    course_id: UUID
    name: str | None
    """As it was when the certificate was issued; null once it was erased."""
    course_title: str
    completed_on: date
    issued_at: datetime
    issuer: str
    language: str
    status: Literal["valid", "revoked"]
    revoked_at: datetime | None
    revoked_reason: str | None
    verify_url: str
    pdf_url: str
    badge_url: str

    @classmethod
    def of(cls, certificate: Any, settings: Settings) -> Self:
        copied = set(cls.model_fields) - {"certificate_id", "status", "verify_url", "pdf_url", "badge_url"}
        return cls(
            **{name: getattr(certificate, name) for name in copied},
            certificate_id=certificate.id,
            status="revoked" if certificate.revoked_at else "valid",
            verify_url=address_of(certificate.number, settings),
            pdf_url=f"/v1/certificates/{certificate.number}.pdf",
            badge_url=f"/v1/certificates/{certificate.number}/badge",
        )


class RevocationIn(BaseModel):
    """Why a certificate ends."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"reason": "Issued for the wrong course."}]}
    )

    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]
    """Shown to whoever verifies the certificate: name no person."""


class VerifiedOut(BaseModel):
    """What anyone who has a number may know."""

    number: str
    status: Literal["valid", "revoked"]
    name: str | None
    course: str
    completed_on: date
    issued_on: date
    issuer: str
    revoked_on: date | None
    reason: str | None


@router.get("/v1/certificates", dependencies=[needs(*READERS)])
async def get_certificates(
    caller: Caller,
    db: Db,
    at: Page,
    request: Request,
    person_id: UUID | None = None,
    course_id: UUID | None = None,
    enrollment_id: UUID | None = None,
) -> Items[CertificateOut]:
    """Certificates, oldest first: one's own, one's people's, or one's organisation's."""
    wishes = {"person_id": person_id, "course_id": course_id, "enrollment_id": enrollment_id}
    query = seen_by(caller).filter_by(**{name: wish for name, wish in wishes.items() if wish is not None})
    settings = settings_of(request)
    return await page(db, query, [query.selected_columns.id], at, lambda row: CertificateOut.of(row, settings))


@router.get(
    "/v1/certificates/{number}.pdf",
    dependencies=[needs(*READERS)],
    response_class=Response,
    responses={200: {"content": {"application/pdf": {}}}, **problems(CertificateNotFound)},
)
async def get_pdf(number: str, caller: Caller, db: Db, request: Request) -> Response:
    """The certificate as one printable page. A revoked one says so across it."""
    settings = settings_of(request)
    certificate = await find_certificate(db, caller, number)
    revoked = certificate.revoked_at
    printed = Printed(
        number=certificate.number,
        name=certificate.name,
        course=certificate.course_title,
        completed_on=certificate.completed_on,
        issued_at=certificate.issued_at,
        issuer=certificate.issuer,
        language=certificate.language,
        url=address_of(certificate.number, settings),
        revoked_on=local_day(revoked, settings) if revoked else None,
    )
    # Nine milliseconds of computing, so made when asked for and never stored; in a thread, so that nobody waits.
    pdf = await asyncio.to_thread(render, printed)
    name = f'inline; filename="certificate-{certificate.number}.pdf"'
    return Response(pdf, media_type="application/pdf", headers={"Content-Disposition": name})


@router.get("/v1/certificates/{number}", dependencies=[needs(*READERS)], responses=problems(CertificateNotFound))
async def get_certificate(number: str, caller: Caller, db: Db, request: Request) -> CertificateOut:
    """One certificate."""
    return CertificateOut.of(await find_certificate(db, caller, number), settings_of(request))


@router.get(
    "/v1/certificates/{number}/badge",
    dependencies=[needs(*READERS)],
    response_class=Response,
    responses={200: {"content": {MEDIA_TYPE: {}}}, **problems(CertificateNotFound, CertificateIsRevoked)},
)
async def get_badge(number: str, caller: Caller, db: Db, request: Request) -> Response:
    """The certificate as an Open Badges 3.0 credential."""
    settings = settings_of(request)
    certificate = await find_certificate(db, caller, number)
    if certificate.revoked_at is not None:
        raise CertificateIsRevoked(certificate.number)
    earned = Earned(
        certificate_id=certificate.id,
        course_id=certificate.course_id,
        name=certificate.name,
        course=certificate.course_title,
        completed_on=certificate.completed_on,
        issued_at=certificate.issued_at,
        issuer=certificate.issuer,
        language=certificate.language,
        url=address_of(certificate.number, settings),
        issuer_url=settings.base_url,
    )
    key = settings.badge_key.get_secret_value() if settings.badge_key else None
    return JSONResponse(badge(earned, signer_of(key)), media_type=MEDIA_TYPE)


@router.post(
    "/v1/certificates/{number}/revoke",
    dependencies=[needs(Role.ADMIN, Role.SUPPORT)],
    responses=problems(CertificateNotFound, AlreadyRevoked),
)
async def post_revoke(
    number: str, body: RevocationIn, caller: Caller, db: Db, once: Once, request: Request
) -> CertificateOut:
    """End a certificate. Its page and its PDF say so from now on, with the reason."""
    certificate = await revoke_certificate(db, number, body.reason, caller=caller, now=now())
    return CertificateOut.of(certificate, settings_of(request))


@router.get(
    "/certificates", response_class=HTMLResponse, responses={303: {}, **on_pages(problems(CertificateNotFound))}
)
async def get_verification_form(
    request: Request,
    number: Annotated[str | None, Query(max_length=100)] = None,
    language: str | None = None,
    accept_language: Annotated[str | None, Header()] = None,
) -> Response:
    """A form to type a certificate's number into; leads to its page."""
    spoken = language_for(language, accept_language)
    if number is None:
        brand = settings_of(request).issuer_name
        return HTMLResponse(verification_page("ask", spoken, brand=brand), headers=HEADERS)
    try:
        return RedirectResponse(f"/certificates/{read_number(number)}?language={spoken}", 303)
    except NotANumber:
        brand = settings_of(request).issuer_name
        mistyped = verification_page("mistyped", spoken, number=number, brand=brand)
        return HTMLResponse(mistyped, 404, headers=HEADERS)


@router.get(
    "/certificates/{number}",
    response_class=HTMLResponse,
    responses={
        200: {"model": VerifiedOut, "content": {"text/html": {}, "application/json": {}}},
        **on_pages(problems(CertificateNotFound)),
    },
)
async def get_verification(
    number: str,
    request: Request,
    db: PublicDb,
    language: str | None = None,
    accept: Annotated[str, Header()] = "*/*",
    accept_language: Annotated[str | None, Header()] = None,
) -> Response:
    """The page that verifies a certificate, for anyone; as JSON where that is what is accepted."""
    settings = settings_of(request)
    state, certificate = "unknown", None
    try:
        certificate = await verify(db, read_number(number))
    except NotANumber:
        state = "mistyped"
    if certificate is None:
        if wants_json(accept):
            raise CertificateNotFound(f"The number is {state}.")
        spoken = language_for(language, accept_language)
        missing = verification_page(state, spoken, number=number[:100], brand=settings.issuer_name)
        return HTMLResponse(missing, 404, headers=HEADERS)
    revoked = certificate.revoked_at
    shown = Shown(
        number=certificate.number,
        name=certificate.name,
        course=certificate.course_title,
        completed_on=certificate.completed_on,
        issued_on=local_day(certificate.issued_at, settings),
        issuer=certificate.issuer,
        revoked_on=local_day(revoked, settings) if revoked else None,
        reason=certificate.revoked_reason,
    )
    if wants_json(accept):
        out = VerifiedOut(**{name: getattr(shown, name) for name in VerifiedOut.model_fields})
        return JSONResponse(out.model_dump(mode="json"), headers=HEADERS)
    spoken = language_for(language, accept_language, certificate.language)
    html = verification_page(shown.status, spoken, certificate=shown, brand=settings.issuer_name)
    return HTMLResponse(html, headers=HEADERS)


def wants_json(accept: str) -> bool:
    """Whether a client asks for JSON rather than a page; browsers always name text/html."""
    return "json" in accept and "text/html" not in accept


def local_day(moment: datetime, settings: Settings) -> date:
    """The day of a moment where completions are counted."""
    return moment.astimezone(ZoneInfo(settings.time_zone)).date()


def settings_of(request: Request) -> Settings:
    settings: Settings = request.app.state.service.settings
    return settings
