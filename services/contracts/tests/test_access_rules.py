"""Which roles exist for whom, and who hands them out."""

from uuid import UUID

import pytest

from contracts.access.invitations import ROLE_NAMES, SUBJECTS, TEXTS, invitation
from contracts.access.rules import ROLES_OF, Holder, Tenant, TenantKind, may_give, role_fits
from kit.auth import Role

PARTNER = UUID(int=1)
OTHER_PARTNER = UUID(int=2)
CUSTOMER = UUID(int=3)


def test_every_role_exists_for_some_kind_of_tenant_and_no_other_role_does() -> None:
    assert {role for roles in ROLES_OF.values() for role in roles} == {role.value for role in Role}


@pytest.mark.parametrize(
    ("role", "kind", "fits"),
    [
        ("admin", TenantKind.PLATFORM, True),
        ("admin", TenantKind.PARTNER, False),
        ("partner_admin", TenantKind.PARTNER, True),
        ("partner_admin", TenantKind.CUSTOMER, False),
        ("hr", TenantKind.CUSTOMER, True),
        ("learner", TenantKind.PARTNER, True),
        ("supplier_user", TenantKind.SUPPLIER, True),
        ("finance", TenantKind.SUPPLIER, False),
    ],
)
def test_a_role_is_granted_for_its_own_kind_of_tenant_only(role: str, kind: TenantKind, fits: bool) -> None:
    assert role_fits(role, kind) is fits


OWN_CUSTOMER = Tenant(TenantKind.CUSTOMER, CUSTOMER, partner_id=PARTNER)


@pytest.mark.parametrize(
    ("role", "tenant", "allowed"),
    [
        ("customer_admin", OWN_CUSTOMER, True),
        ("hr", OWN_CUSTOMER, True),
        ("manager", OWN_CUSTOMER, False),  # follows from the person
        ("customer_admin", Tenant(TenantKind.CUSTOMER, CUSTOMER, partner_id=OTHER_PARTNER), False),
        ("customer_admin", Tenant(TenantKind.CUSTOMER, CUSTOMER), False),
        ("partner_admin", Tenant(TenantKind.PARTNER, PARTNER, partner_id=PARTNER), False),
        ("admin", Tenant(TenantKind.PLATFORM), False),
    ],
)
def test_a_partners_admin_gives_roles_for_its_own_customers_only(role: str, tenant: Tenant, allowed: bool) -> None:
    assert may_give(role, tenant, platform_admin=False, partner_id=PARTNER) is allowed
    assert may_give(role, tenant, platform_admin=True, partner_id=None)
    assert not may_give(role, tenant, platform_admin=False, partner_id=None)


def test_a_holder_is_known_by_address_or_by_issuer_and_subject_together() -> None:
    assert Holder(email="Ada@Lumen.example").identity == Holder(email="ada@lumen.example").identity
    assert Holder(issuer="https://id.example", subject="7").identity == "https://id.example 7"
    with pytest.raises(ValueError, match="together"):
        Holder(issuer="https://id.example", email="ada@lumen.example")
    with pytest.raises(ValueError, match="known by"):
        Holder(name="Ada")


@pytest.mark.parametrize("language", ["en", "nl", "it"])
def test_an_invitation_names_the_tenant_the_role_and_where_to_sign_in(language: str) -> None:
    letter = invitation(
        language,
        name="Ada Visser",
        email="ada@lumen.example",
        tenant="Lumen",
        role="partner_admin",
        url="https://tandem.example",
        signed_by="Lumen",
    )

    assert "Lumen" in letter.subject
    assert "Ada Visser" in letter.text
    assert ROLE_NAMES[language]["partner_admin"] in letter.text
    assert "https://tandem.example" in letter.text
    assert "{" not in letter.subject + letter.text


def test_every_language_names_every_role() -> None:
    assert SUBJECTS.keys() == TEXTS.keys() == ROLE_NAMES.keys()
    assert all(names.keys() == {role.value for role in Role} for names in ROLE_NAMES.values())
