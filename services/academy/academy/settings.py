"""What academy reads from its environment beyond what every service does."""

from base64 import b64decode
from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, SecretStr
from pydantic_settings import SettingsConfigDict

from kit.settings import ServiceSettings


def _known_zone(name: str) -> str:
    try:
        ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError) as unknown:
        raise ValueError(f"{name} is not a time zone") from unknown
    return name


def _ed25519_key(key: SecretStr) -> SecretStr:
    try:
        length = len(b64decode(key.get_secret_value(), validate=True))
    except ValueError as wrong:
        raise ValueError("a badge key is base64") from wrong
    if length != 32:
        raise ValueError(f"a badge key has 32 bytes, this one {length}")
    return key


class Settings(ServiceSettings):
    """Academy's settings."""

    model_config = SettingsConfigDict(env_prefix="ACADEMY_", frozen=True)

    issuer_name: str = "Tandem"
    """Who issues certificates, except those of a whitelabel partner's people."""
    time_zone: Annotated[str, AfterValidator(_known_zone)] = "Europe/Amsterdam"
    """Where the day of a completion is counted."""
    badge_key: Annotated[SecretStr, AfterValidator(_ed25519_key)] | None = None
    """Ed25519 private key, 32 bytes in base64, that signs badges; without it they are unsigned."""
