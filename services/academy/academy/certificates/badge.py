"""A certificate as an Open Badges 3.0 credential, which is a W3C Verifiable Credential.

Signed where the academy has a key, by a Data Integrity proof of the suite eddsa-jcs-2022: the issuer is then
named by its key (did:key), so that any verifier can check the badge without asking us.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

CONTEXT = [
    "https://www.w3.org/ns/credentials/v2",
    "https://purl.imsglobal.org/spec/ob/v3p0/context-3.0.3.json",
]
MEDIA_TYPE = "application/vc+json"

CRITERIA = {
    "en": "Completed the course.",
    "nl": "Heeft de cursus voltooid.",
    "it": "Ha completato il corso.",
}
_BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_ED25519_PUBLIC = b"\xed\x01"
"""What a multikey of this kind starts with."""


@dataclass(frozen=True, slots=True)
class Earned:
    """What a badge says."""

    certificate_id: UUID
    course_id: UUID
    name: str | None
    course: str
    completed_on: date
    issued_at: datetime
    issuer: str
    language: str
    url: str
    """The public page of the certificate, and the badge's id."""
    issuer_url: str


class Signer:
    """Signs documents by an Ed25519 key."""

    def __init__(self, key: bytes) -> None:
        """`key` is the private key's 32 bytes. Raises `ValueError` for another length."""
        self._key = Ed25519PrivateKey.from_private_bytes(key)
        public = self._key.public_key().public_bytes_raw()
        self.multikey = "z" + _base58(_ED25519_PUBLIC + public)

    @property
    def did(self) -> str:
        """The key as an identifier of its holder."""
        return f"did:key:{self.multikey}"

    def signed(self, document: Mapping[str, Any], created: datetime) -> dict[str, Any]:
        """The document with a proof that it is ours."""
        proof = {
            "type": "DataIntegrityProof",
            "cryptosuite": "eddsa-jcs-2022",
            "created": _instant(created),
            "verificationMethod": f"{self.did}#{self.multikey}",
            "proofPurpose": "assertionMethod",
            "@context": document["@context"],
        }
        digest = hashlib.sha256(canonical(proof)).digest() + hashlib.sha256(canonical(document)).digest()
        return {**document, "proof": {**proof, "proofValue": "z" + _base58(self._key.sign(digest))}}


def signer_of(key: str | None) -> Signer | None:
    """The signer of a key in base64, if there is one. Raises `ValueError` for what is no key."""
    return Signer(base64.b64decode(key, validate=True)) if key else None


def badge(earned: Earned, signer: Signer | None) -> dict[str, Any]:
    """The credential of a certificate."""
    subject: dict[str, Any] = {
        "id": f"urn:uuid:{earned.certificate_id}",
        "type": ["AchievementSubject"],
        "activityEndDate": f"{earned.completed_on}T00:00:00Z",
        "achievement": {
            "id": f"urn:uuid:{earned.course_id}",
            "type": ["Achievement"],
            "achievementType": "Course",
            "name": earned.course,
            "description": earned.course,
            "inLanguage": earned.language,
            "criteria": {"narrative": CRITERIA[earned.language]},
        },
    }
    if earned.name is not None:
        identity = {
            "type": "IdentityObject",
            "identityType": "name",
            "hashed": False,
            "identityHash": earned.name,
        }
        subject["identifier"] = [identity]
    document = {
        "@context": CONTEXT,
        "id": earned.url,
        "type": ["VerifiableCredential", "OpenBadgeCredential"],
        "name": earned.course,
        "issuer": {
            "id": signer.did if signer else earned.issuer_url,
            "type": ["Profile"],
            "name": earned.issuer,
            "url": earned.issuer_url,
        },
        "validFrom": _instant(earned.issued_at),
        "credentialSubject": subject,
    }
    return signer.signed(document, earned.issued_at) if signer else document


def canonical(document: Mapping[str, Any]) -> bytes:
    """The document's one spelling (RFC 8785), for documents without numbers and with ASCII names."""
    return json.dumps(document, ensure_ascii=False, sort_keys=True, separators=(",", ":")).encode()


def _instant(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _base58(data: bytes) -> str:
    number, text = int.from_bytes(data), ""
    while number:
        number, digit = divmod(number, 58)
        text = _BASE58[digit] + text
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + text
