"""Refusals by name, answered as RFC 9457 problem documents.

A use case raises a subclass of `Refused`; the edge turns it into `application/problem+json`. The class
is the contract: its name is the `type`, the first line of its docstring the `title`.
"""

import json
import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from pydantic_core import to_json
from starlette.exceptions import HTTPException

__all__ = [
    "PROBLEM_SCHEMA",
    "BodyTooLarge",
    "Refused",
    "answer",
    "field_errors",
    "install",
    "merged",
    "on_pages",
    "place",
    "problems",
]

MEDIA_TYPE = "application/problem+json"

log = structlog.get_logger(__name__)


class Refused(Exception):
    """The request was understood and is refused."""

    status: ClassVar[int] = 409
    rule: ClassVar[str | None] = None
    """The number of the rule that refuses, such as `ENR-5`."""
    remedy: ClassVar[str | None] = None
    """What the caller can do about it."""
    type: ClassVar[str] = "/problems/refused"
    """Derived from the class name, so a renamed class is a changed contract."""
    title: ClassVar[str] = "The request was understood and is refused."
    headers: ClassVar[Mapping[str, str]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.type = "/problems/" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "-", cls.__name__).lower()
        cls.title = (cls.__doc__ or cls.__name__).strip().splitlines()[0]

    def __init__(self, detail: object = "", *, field: str | None = None, **extra: Any) -> None:
        """`extra` become members of the problem, and so must be what JSON (or Pydantic) can say."""
        super().__init__(str(detail) or self.title)
        self.detail = str(detail)
        self.field = field
        self.extra = extra
        self.answer_headers = self.headers
        """The headers of the answer, where they depend on the request."""

    @classmethod
    def named(cls) -> dict[str, Any]:
        """What every refusal of this name says."""
        members = {"type": cls.type, "title": cls.title, "status": cls.status, "rule": cls.rule}
        return {k: v for k, v in {**members, "remedy": cls.remedy}.items() if v is not None}

    def as_problem(self) -> dict[str, Any]:
        """The problem as plain JSON types, without `instance`: fit to be stored and shown later."""
        own = {"detail": self.detail or None, "field": self.field, **self.extra}
        return {**self.named(), **{k: v for k, v in json.loads(to_json(own)).items() if v is not None}}


class NotUnderstood(Refused):
    """Part of the request is missing or wrong."""

    status = 422
    remedy = "Correct the fields named in `errors`."


class NotJson(Refused):
    """The body is not valid JSON."""

    status = 400


class BodyTooLarge(Refused):
    """The body is larger than this route takes."""

    status = 413
    remedy = "Send less at a time."


class Failed(Refused):
    """Something went wrong on our side."""

    status = 500
    remedy = "Try again later; when it stays, report the request id of this answer."


def answer(request: Request, problem: Mapping[str, Any], headers: Mapping[str, str] | None = None) -> Response:
    """The HTTP answer that carries `problem`."""
    body = to_json({**problem, "instance": request.url.path})
    return Response(body, problem["status"], headers=dict(headers or {}), media_type=MEDIA_TYPE)


def place(request: Request) -> str:
    """Where a request went, for the log: the route, since a path may hold the token of a link."""
    return getattr(request.scope.get("route"), "path", "unknown")


def field_errors(errors: Any, skip: int = 0) -> list[dict[str, str]]:
    """Pydantic's errors as `{field, rule, remedy}`, without the input; `skip` leading parts of the place."""
    return [
        {"field": ".".join(map(str, error["loc"][skip:])), "rule": error["type"], "remedy": error["msg"]}
        for error in errors
    ]


async def _refused(request: Request, refused: Any) -> Response:
    return answer(request, refused.as_problem(), refused.answer_headers)


async def _invalid(request: Request, error: Any) -> Response:
    found = field_errors(error.errors(), skip=1)  # body, query, path or header
    if any(e["rule"] == "json_invalid" for e in found):
        return await _refused(request, NotJson("It stops making sense at character " + found[0]["field"] + "."))
    return await _refused(request, NotUnderstood(errors=found))


async def _http(request: Request, error: Any) -> Response:
    """What the framework itself refuses: unknown paths, wrong methods, bodies too large or unreadable."""
    if isinstance(error.__cause__, (UnicodeError, RecursionError)):  # of a body that is not text, or nested too deep
        return await _refused(request, NotJson())
    if error.status_code < 400 or error.status_code in (204, 304):
        return Response(status_code=error.status_code, headers=error.headers)
    if error.status_code == 413:
        return await _refused(request, BodyTooLarge())
    title = HTTPStatus(error.status_code).phrase
    problem = {"type": "about:blank", "title": title, "status": error.status_code}
    if error.detail != title:
        problem["detail"] = error.detail
    return answer(request, problem, error.headers)


async def _failed(request: Request, error: Exception) -> Response:
    log.error("request failed", method=request.method, path=place(request), exc_info=error)
    return await _refused(request, Failed())


def install(app: FastAPI) -> None:
    """Answer every refusal and failure of `app` as a problem."""
    app.add_exception_handler(Refused, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _failed)


PROBLEM_SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "RFC 9457 problem details. A refusal may add members of its own.",
    "required": ["type", "title", "status"],
    "properties": {
        "type": {"type": "string", "description": "Stable name of the refusal."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "rule": {"type": "string"},
        "remedy": {"type": "string", "description": "What the caller can do about it."},
        "field": {"type": "string"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("field", "rule", "remedy")},
            },
        },
    },
    "additionalProperties": True,
}


def problems(*refusals: type[Refused]) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route: every refusal that can come, by status, with an example each."""
    responses: dict[int | str, dict[str, Any]] = {}
    for refusal in refusals:
        response = responses.setdefault(refusal.status, {"description": "", "content": {}})
        content = response["content"].setdefault(
            MEDIA_TYPE, {"schema": {"$ref": "#/components/schemas/Problem"}, "examples": {}}
        )
        content["examples"][refusal.__name__] = {"summary": refusal.title, "value": refusal.named()}
        response["description"] = " · ".join(e["summary"] for e in content["examples"].values())
    return responses


def on_pages(responses: Mapping[int | str, dict[str, Any]]) -> dict[int | str, dict[str, Any]]:
    """`responses=` of a route that people open: each refusal is a page too."""
    page = {"text/html": {"schema": {"type": "string"}}}
    return {status: {**said, "content": {**said["content"], **page}} for status, said in responses.items()}


def merged(one: Mapping[int | str, Any], other: Mapping[int | str, Any]) -> dict[int | str, dict[str, Any]]:
    """`responses=` of both; of a status that both have, the examples of both."""
    both = {status: dict(response) for status, response in one.items()}
    for status, response in other.items():
        held = both.setdefault(status, {"description": response["description"], "content": {}})
        content = held.setdefault("content", {}).setdefault(MEDIA_TYPE, response["content"][MEDIA_TYPE])
        content["examples"] = {**response["content"][MEDIA_TYPE]["examples"], **content.get("examples", {})}
    return both
