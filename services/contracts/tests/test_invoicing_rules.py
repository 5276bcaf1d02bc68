"""What invoices must carry: right where it is given, listed where it is missing."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from contracts.customers.rules import Invoicing, PostalAddress, checked_vat_id

WHOLE = {
    "legal_name": "Zilverberg Techniek B.V.",
    "address": {"street": "Kade 1", "postal_code": "3011 AA", "city": "Rotterdam", "country": "NL"},
    "vat_id": "NL004495445B01",
    "invoice_email": "invoices@zilverberg.example",
}


@pytest.mark.parametrize(
    ("number", "country", "kept"),
    [
        ("NL 0044.95.445.B01", "NL", "NL004495445B01"),
        ("004495445B01", "NL", "NL004495445B01"),  # the country gives the prefix
        ("IT00743110157", "IT", "IT00743110157"),
        ("094259216", "GR", "EL094259216"),  # Greece has a prefix of its own
        ("CHE-107.787.577 MWST", "CH", "CHE107787577MWST"),
        ("gb980780684", "GB", "GB980780684"),
        ("XI980780684", "GB", "XI980780684"),  # Northern Ireland counts as the EU
        ("DE136695976", None, "DE136695976"),  # the prefix says where, as long as there is no address
        ("12-345678", "US", "12345678"),  # no rules are known: only cleaned
    ],
)
def test_a_vat_id_is_kept_compact_with_its_prefix(number: str, country: str | None, kept: str) -> None:
    assert checked_vat_id(number, country) == kept


@pytest.mark.parametrize(
    ("number", "country"),
    [
        ("NL004495446B01", "NL"),  # a check digit off by one
        ("DE136695976", "NL"),  # right, but of another country
        ("NL004495445B01", "IT"),
        ("136695976", None),  # nobody knows whose
        ("GB123456789", "GB"),
        ("1", "US"),
    ],
)
def test_a_vat_id_that_cannot_be_right_is_refused(number: str, country: str | None) -> None:
    with pytest.raises(ValueError, match="is not a VAT id"):
        checked_vat_id(number, country)


def test_whole_details_lack_nothing() -> None:
    assert Invoicing.model_validate(WHOLE).missing() == []


def test_no_details_lack_all_that_an_invoice_carries() -> None:
    assert Invoicing().missing() == [
        "legal_name",
        "address.street",
        "address.postal_code",
        "address.city",
        "address.country",
        "vat_id",
        "invoice_email",
    ]


def test_half_an_address_is_kept_and_the_other_half_is_missing() -> None:
    details = Invoicing.model_validate({**WHOLE, "address": {"city": "Torino", "country": "it"}, "vat_id": ""})

    assert details.address == PostalAddress(city="Torino", country="IT")
    assert details.missing() == ["address.street", "address.postal_code", "vat_id"]


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"vat_id": "NL000000000B00"}, "vat_id"),
        ({"invoice_email": "not an address"}, "invoice_email"),
        ({"address": {"country": "XX"}}, "address.country"),
        ({"address": {"country": "Nederland"}}, "address.country"),
        ({"address": {"planet": "Mars"}}, "address.planet"),
        ({"legal_name": "x" * 201}, "legal_name"),
        ({"iban": "NL91ABNA0417164300"}, "iban"),
    ],
)
def test_what_is_given_must_be_right_and_the_field_is_named(wrong: dict[str, object], where: str) -> None:
    with pytest.raises(ValidationError) as refused:
        Invoicing.model_validate(wrong)

    assert [".".join(map(str, e["loc"])) for e in refused.value.errors()] == [where]


@given(st.fixed_dictionaries({}, optional={name: st.just(value) for name, value in WHOLE.items()}))
def test_what_is_missing_is_exactly_what_was_not_given(details: dict[str, object]) -> None:
    missing = {name.split(".")[0] for name in Invoicing.model_validate(details).missing()}

    assert missing == set(WHOLE) - set(details)


@given(st.text(max_size=40), st.sampled_from([None, "NL", "IT", "GB", "CH", "US", "GR", "NO"]))
def test_whatever_is_typed_as_a_vat_id_is_kept_or_refused_by_name(number: str, country: str | None) -> None:
    try:
        kept = checked_vat_id(number, country)
    except ValueError:
        with pytest.raises(ValueError, match="is not a VAT id"):
            checked_vat_id(number, country)
        return
    assert checked_vat_id(kept, country) == kept
