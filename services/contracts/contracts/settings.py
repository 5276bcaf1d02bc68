"""What contracts reads from its environment beyond what every service does."""

from typing import ClassVar

from pydantic_settings import SettingsConfigDict

from kit.settings import ServiceSettings


class Settings(ServiceSettings):
    """Contracts' settings."""

    model_config = SettingsConfigDict(env_prefix="CONTRACTS_", frozen=True)

    follows_tenants_time: ClassVar[bool] = True

    sign_in_url: str = "http://localhost:8100"
    """Where people sign in; stands in invitations."""
    finance_email: str | None = None
    """Where finance is told of early terminations; without one, where the platform receives mail."""
    dns_server: str | None = None
    """Whom to ask for the records that prove a domain, as address:port; the system's name servers, if nobody."""
