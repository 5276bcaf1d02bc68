"""A refusal's class is its contract: type, title, rule and remedy come from it."""

from datetime import date
from decimal import Decimal
from uuid import UUID

import pytest
from pydantic import BaseModel, ValidationError

from kit.problems import Refused, field_errors, merged, problems


class NotEnoughVAT2Credits(Refused):
    """The wallet does not cover the price.

    Longer words for developers.
    """

    rule = "ENR-5"
    remedy = "Top up the wallet, then ask again."


class GoneAway(Refused):
    """It is not here any more."""

    status = 410


def test_a_refusal_says_everything_as_plain_json() -> None:
    refused = NotEnoughVAT2Credits(
        "balance 3, price 5",
        field="course_id",
        balance=3,
        price=Decimal("5.50"),
        wallet=UUID(int=1),
        until=date(2026, 1, 31),
        nothing=None,
    )

    assert refused.as_problem() == {
        "type": "/problems/not-enough-vat2-credits",
        "title": "The wallet does not cover the price.",
        "status": 409,
        "detail": "balance 3, price 5",
        "field": "course_id",
        "rule": "ENR-5",
        "remedy": "Top up the wallet, then ask again.",
        "balance": 3,
        "price": "5.50",
        "wallet": "00000000-0000-0000-0000-000000000001",
        "until": "2026-01-31",
    }


def test_a_bare_refusal_says_its_name_only() -> None:
    assert GoneAway().as_problem() == {
        "type": "/problems/gone-away",
        "title": "It is not here any more.",
        "status": 410,
    }
    assert str(GoneAway()) == "It is not here any more."
    assert str(GoneAway(UUID(int=7))) == "00000000-0000-0000-0000-000000000007"


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("NotFound", "not-found"),
        ("ENRRefused", "enr-refused"),
        ("Step2Missing", "step2-missing"),
        ("VATIdWrong", "vat-id-wrong"),
    ],
)
def test_the_type_is_the_class_name_in_kebab_case(name: str, slug: str) -> None:
    assert type(name, (Refused,), {"__doc__": "X."}).type == f"/problems/{slug}"


def test_the_document_of_a_route_groups_refusals_by_status() -> None:
    documented = problems(NotEnoughVAT2Credits, GoneAway, Refused)

    assert documented.keys() == {409, 410}
    examples = documented[409]["content"]["application/problem+json"]["examples"]
    assert examples.keys() == {"NotEnoughVAT2Credits", "Refused"}
    assert examples["NotEnoughVAT2Credits"]["value"]["rule"] == "ENR-5"


def test_documents_are_merged_without_loss() -> None:
    both = merged(problems(GoneAway), problems(GoneAway, Refused))
    with_model = merged({409: {"model": int}}, problems(Refused))

    assert both.keys() == {409, 410}
    assert with_model[409]["model"] is int
    assert "Refused" in with_model[409]["content"]["application/problem+json"]["examples"]


class Line(BaseModel):
    body: str
    numbers: list[int]


def test_field_errors_name_the_field_and_never_repeat_the_input() -> None:
    with pytest.raises(ValidationError) as wrong:
        Line.model_validate({"numbers": [1, "my secret"]})

    errors = field_errors(wrong.value.errors())
    assert [(e["field"], e["rule"]) for e in errors] == [("body", "missing"), ("numbers.1", "int_parsing")]
    assert "secret" not in str(errors)
