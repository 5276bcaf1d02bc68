"""What every service reads from its environment, once, at start.

Names that hold for the whole suite have no prefix (`KAFKA_BOOTSTRAP_SERVERS`); a service's own are
prefixed with its name (`BILLING_DATABASE_URL`). What has no default must be given. Where `SECRETS_DIR`
names a folder, a file in it with the name of a setting holds its value, unless the environment does.
"""

import os
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from limits import parse
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    FilePath,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
    SettingsConfigDict,
)

from kit.kafka import Kafka, Mechanism, Protocol


def _plain_postgres(url: str) -> str:
    if not url.startswith(("postgresql://", "postgres://")):
        raise ValueError("must start with postgresql://")
    return url


PostgresUrl = Annotated[str, AfterValidator(_plain_postgres)]


def _rate(rate: str) -> str:
    if rate:
        parse(rate)  # raises ValueError
    return rate


RequestRate = Annotated[str, AfterValidator(_rate)]
"""`600/minute`, `20/second`; an empty one is no limit."""


def _listed(names: Any) -> Any:
    return [name.strip() for name in names.split(",") if name.strip()] if isinstance(names, str) else names


LINK_SECRET_MIN = 32
PUBLIC_LINK_SECRETS = frozenset({"for-this-machine-only-change-me-elsewhere"})
"""Those that this repository shows: good on a developer's machine only."""
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


def shared(name: str, default: Any = ..., **more: Any) -> Any:
    """A setting with one name for the whole suite."""
    return Field(default, validation_alias=name, **more)


class KafkaSettings(BaseSettings):
    """How a process reaches Kafka, and as which user: a service as its own, admin commands as an operator."""

    kafka_bootstrap_servers: str = shared("KAFKA_BOOTSTRAP_SERVERS")
    kafka_security_protocol: Protocol = shared("KAFKA_SECURITY_PROTOCOL", "PLAINTEXT")
    kafka_sasl_mechanism: Mechanism = shared("KAFKA_SASL_MECHANISM", "SCRAM-SHA-512")
    kafka_sasl_username: str | None = shared("KAFKA_SASL_USERNAME", None)
    kafka_sasl_password: SecretStr | None = shared("KAFKA_SASL_PASSWORD", None)
    kafka_ssl_ca_file: FilePath | None = shared("KAFKA_SSL_CA_FILE", None)
    """PEM of the authority that signed the brokers' certificates; the system's authorities unless given."""

    @model_validator(mode="after")
    def _has_a_user(self) -> Self:
        user = self.kafka_sasl_username and self.kafka_sasl_password
        if self.kafka_security_protocol.startswith("SASL_") and not user:
            raise ValueError("KAFKA_SASL_USERNAME and KAFKA_SASL_PASSWORD must be given for this security protocol")
        return self

    @property
    def kafka(self) -> Kafka:
        """What clients are made of."""
        return Kafka(
            self.kafka_bootstrap_servers,
            self.kafka_security_protocol,
            self.kafka_sasl_mechanism,
            self.kafka_sasl_username,
            self.kafka_sasl_password,
            self.kafka_ssl_ca_file,
        )


class ServiceSettings(KafkaSettings):
    """Settings that every service has. A service adds its own, with units in their names."""

    follows_tenants_time: ClassVar[bool] = False
    """Whether the service keeps the test clocks (`kit.testclock`): has their table, and hears of them."""

    # What is wrong is named, without saying what it was: it may be a secret.
    model_config = SettingsConfigDict(hide_input_in_errors=True)

    # Not shown where the settings are: it holds a password, as the two below do.
    database_url: PostgresUrl = Field(repr=False)
    """The role of HTTP requests: row-level security lets through the caller's tenant only."""
    worker_database_url: PostgresUrl = Field(repr=False)
    """The role of consumers, jobs and the relay."""
    owner_database_url: PostgresUrl | None = Field(None, repr=False)
    """The role that owns the tables; only `migrate` uses it."""
    base_url: str = "http://localhost"
    """The service's public address, without a slash at the end; links in mails start with it."""

    kafka_principal: str | None = shared("KAFKA_PRINCIPAL", None)
    """The name by which Kafka's authorizer knows the service; `User:<service>` unless given."""
    kafka_replication: PositiveInt = shared("KAFKA_REPLICATION", 1)
    oidc_issuer: str = shared("OIDC_ISSUER")
    oidc_audience: str = shared("OIDC_AUDIENCE", "tandem")
    link_secret: SecretStr = shared("LINK_SECRET")
    """Signs the links in mails; 32 characters or more."""
    rate_per_caller: RequestRate = shared("RATE_PER_CALLER", "6000/minute")
    rate_per_address: RequestRate = shared("RATE_PER_ADDRESS", "12000/minute")
    """Of one process. Behind a proxy, FORWARDED_ALLOW_IPS names the proxies whose word on the address counts."""
    cors_origins: Annotated[list[str], NoDecode, BeforeValidator(_listed)] = shared("CORS_ORIGINS", [])
    """Web sites whose scripts may call the API, such as `https://portal.example`, with commas between; none."""
    smtp_host: str = shared("SMTP_HOST", "localhost")
    smtp_port: PositiveInt = shared("SMTP_PORT", 25)
    smtp_security: Literal["opportunistic", "starttls", "tls"] = shared("SMTP_SECURITY", "opportunistic")
    """`tls` from the first byte (port 465), `starttls` or no mail (port 587), or STARTTLS where it is offered."""
    smtp_username: str | None = shared("SMTP_USERNAME", None)
    smtp_password: SecretStr | None = shared("SMTP_PASSWORD", None)
    smtp_ca_file: FilePath | None = shared("SMTP_CA_FILE", None)
    """The authority of the mail server's certificate, where it is not among the machine's."""
    mail_from: str = shared("MAIL_FROM", "Tandem <no-reply@tandem.example>")
    platform_admin_email: str | None = shared("PLATFORM_ADMIN_EMAIL", None)
    """The first platform admin: holds that role before anybody could grant it."""
    platform_email: str = shared("PLATFORM_EMAIL", "platform@tandem.example")
    """Where the platform itself receives mail."""
    environment: Literal["production", "sandbox"] = shared("TANDEM_ENVIRONMENT", "production")
    """What is not a sandbox is production."""
    test_clocks: bool = shared("TEST_CLOCKS", False)
    """Whether tenants may be given a time of their own (`kit.testclock`); in a sandbox only."""
    log_level: str = shared("LOG_LEVEL", "info")
    otel_endpoint: str | None = shared("OTEL_EXPORTER_OTLP_ENDPOINT", None)

    batch_records_max: PositiveInt = 1000
    relay_batch_max: PositiveInt = 1000
    relay_poll_s: PositiveFloat = 0.25
    park_attempts_max: PositiveInt = 8
    topic_check_s: PositiveFloat = 2.0
    progress_max_s: PositiveFloat = 60.0
    """A consumer with lag that has finished nothing for this long counts as stuck."""
    database_pool_max: PositiveInt = 16
    lock_wait_max_s: PositiveFloat = 5.0
    """How long a request waits for a row that another transaction holds, before it is told to come again."""
    stop_grace_s: PositiveFloat = 15.0

    @model_validator(mode="after")
    def _no_test_clocks_in_production(self) -> Self:
        if self.test_clocks and self.environment == "production":
            raise ValueError("TEST_CLOCKS is on, and this is production: it needs TANDEM_ENVIRONMENT=sandbox")
        return self

    @model_validator(mode="after")
    def _safe(self) -> Self:
        secret = self.link_secret.get_secret_value()
        if len(secret) < LINK_SECRET_MIN:
            raise ValueError(f"LINK_SECRET has fewer than {LINK_SECRET_MIN} characters: take `openssl rand -hex 32`")
        if secret in PUBLIC_LINK_SECRETS and urlsplit(self.base_url).hostname not in LOCAL_HOSTS:
            raise ValueError("LINK_SECRET is the public one of the examples: take `openssl rand -hex 32`")
        if (self.smtp_username is None) != (self.smtp_password is None):
            raise ValueError("SMTP_USERNAME and SMTP_PASSWORD are given together")
        if self.smtp_username and self.smtp_security == "opportunistic":
            raise ValueError("SMTP_SECURITY must be starttls or tls: a password is not sent in the clear")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment first, then the files of `SECRETS_DIR`, as containers are given secrets."""
        files = SecretsSettingsSource(settings_cls, secrets_dir=os.environ.get("SECRETS_DIR"))
        return init_settings, env_settings, files
