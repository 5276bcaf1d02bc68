"""Everything billing reads from its environment, once, at start."""

from typing import ClassVar

from pydantic_settings import SettingsConfigDict

from billing.platform import Platform
from kit.settings import ServiceSettings


class Settings(Platform, ServiceSettings):
    """What every service has, and who the platform is."""

    model_config = SettingsConfigDict(env_prefix="BILLING_", frozen=True)

    follows_tenants_time: ClassVar[bool] = True
