"""Open Badges 3.0: the members that the standard demands, and a proof that others can check."""

import base64
from dataclasses import replace
from datetime import UTC, date, datetime
from uuid import UUID

import pytest

from academy.certificates.badge import Earned, Signer, badge, signer_of

KEY = base64.b64decode("yW756hDF5BTEcXI6/53nLDX6W3D66X6IMuysfS4rjtY=")
"""The key of the examples in the W3C's Data Integrity EdDSA Cryptosuites 1.0."""
EARNED = Earned(
    certificate_id=UUID(int=1),
    course_id=UUID(int=2),
    name="Pia Participant",
    course="Safe at work",
    completed_on=date(2026, 3, 6),
    issued_at=datetime(2026, 3, 6, 8, 30, tzinfo=UTC),
    issuer="Tandem",
    language="en",
    url="https://academy.example/certificates/0000-0000-0000-001Y",
    issuer_url="https://academy.example",
)


def test_a_badge_has_every_member_that_the_standard_demands() -> None:
    made = badge(EARNED, None)

    assert made == {
        "@context": [
            "https://www.w3.org/ns/credentials/v2",
            "https://purl.imsglobal.org/spec/ob/v3p0/context-3.0.3.json",
        ],
        "id": "https://academy.example/certificates/0000-0000-0000-001Y",
        "type": ["VerifiableCredential", "OpenBadgeCredential"],
        "name": "Safe at work",
        "issuer": {
            "id": "https://academy.example",
            "type": ["Profile"],
            "name": "Tandem",
            "url": "https://academy.example",
        },
        "validFrom": "2026-03-06T08:30:00Z",
        "credentialSubject": {
            "id": "urn:uuid:00000000-0000-0000-0000-000000000001",
            "type": ["AchievementSubject"],
            "activityEndDate": "2026-03-06T00:00:00Z",
            "identifier": [
                {
                    "type": "IdentityObject",
                    "identityType": "name",
                    "hashed": False,
                    "identityHash": "Pia Participant",
                }
            ],
            "achievement": {
                "id": "urn:uuid:00000000-0000-0000-0000-000000000002",
                "type": ["Achievement"],
                "achievementType": "Course",
                "name": "Safe at work",
                "description": "Safe at work",
                "inLanguage": "en",
                "criteria": {"narrative": "Completed the course."},
            },
        },
    }


def test_an_erased_holder_is_not_named() -> None:
    assert "identifier" not in badge(replace(EARNED, name=None), None)["credentialSubject"]


def test_a_proof_is_the_one_that_the_standard_computes() -> None:
    document = {
        "@context": [
            "https://www.w3.org/ns/credentials/v2",
            "https://www.w3.org/ns/credentials/examples/v2",
        ],
        "id": "urn:uuid:58172aac-d8ba-11ed-83dd-0b3aef56cc33",
        "type": ["VerifiableCredential", "AlumniCredential"],
        "name": "Alumni Credential",
        "description": "A minimum viable example of an Alumni Credential.",
        "issuer": "https://vc.example/issuers/5678",
        "validFrom": "2023-01-01T00:00:00Z",
        "credentialSubject": {"id": "did:example:abcdefgh", "alumniOf": "The School of Examples"},
    }

    proof = Signer(KEY).signed(document, datetime(2023, 2, 24, 23, 36, 38, tzinfo=UTC))["proof"]

    key = "z6MkrJVnaZkeFzdQyMZu1cgjg7k1pZZ6pvBQ7XJPt4swbTQ2"
    assert proof["verificationMethod"] == f"did:key:{key}#{key}"
    assert proof["proofValue"] == (
        "z2HnFSSPPBzR36zdDgK8PbEHeXbR56YF24jwMpt3R1eHXQzJDMWS93FCzpvJpwTWd3GAVFuUfjoJdcnTMuVor51aX"
    )


def test_a_signed_badge_names_its_issuer_by_the_key_that_signed_it() -> None:
    signer = signer_of(base64.b64encode(KEY).decode())
    assert signer is not None

    made = badge(EARNED, signer)

    assert made["issuer"]["id"] == signer.did
    assert made["proof"]["verificationMethod"].startswith(signer.did)
    assert made["proof"]["cryptosuite"] == "eddsa-jcs-2022"
    assert badge(EARNED, signer) == made  # the same certificate, the same signature
    other = badge(replace(EARNED, course="Something else"), signer)
    assert other["proof"]["proofValue"] != made["proof"]["proofValue"]


@pytest.mark.parametrize("key", ["", None])
def test_without_a_key_nothing_is_signed(key: str | None) -> None:
    assert signer_of(key) is None
