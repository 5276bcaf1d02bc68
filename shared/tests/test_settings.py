"""What a service reads at start: from the environment, or from files."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsConfigDict

from kit.kafka import Kafka
from kit.settings import ServiceSettings

GIVEN = {
    "SHOP_DATABASE_URL": "postgresql://api@db/shop",
    "SHOP_WORKER_DATABASE_URL": "postgresql://worker@db/shop",
    "KAFKA_BOOTSTRAP_SERVERS": "kafka:9092",
    "OIDC_ISSUER": "https://issuer.example",
    "LINK_SECRET": "of the environment, and long enough",
}


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="SHOP_", frozen=True)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)


def test_secrets_may_be_files_and_the_environment_stands_above_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SECRETS_DIR", str(tmp_path))
    monkeypatch.delenv("SHOP_DATABASE_URL")
    (tmp_path / "SHOP_DATABASE_URL").write_text("postgresql://api:secret@db/shop\n")
    (tmp_path / "KAFKA_SASL_PASSWORD").write_text("from a file\n")
    (tmp_path / "LINK_SECRET").write_text("from a file, where nobody reads it\n")

    settings = Settings()

    assert settings.database_url == "postgresql://api:secret@db/shop"
    assert settings.kafka_sasl_password is not None
    assert settings.kafka_sasl_password.get_secret_value() == "from a file"
    assert settings.link_secret.get_secret_value() == GIVEN["LINK_SECRET"]


def test_without_a_word_kafka_is_reached_in_the_open() -> None:
    assert Settings().kafka == Kafka("kafka:9092")


def test_a_protocol_with_users_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SECURITY_PROTOCOL", "SASL_SSL")
    monkeypatch.setenv("KAFKA_SASL_USERNAME", "shop")

    with pytest.raises(ValidationError, match="KAFKA_SASL_PASSWORD must be given"):
        Settings()


def test_an_authority_that_is_not_there_is_named_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_SSL_CA_FILE", "/nowhere/ca.pem")

    with pytest.raises(ValidationError, match="KAFKA_SSL_CA_FILE"):
        Settings()
