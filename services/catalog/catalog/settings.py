"""Everything catalog reads from its environment, once, at start."""

from pydantic_settings import SettingsConfigDict

from catalog.moment import Days
from kit.settings import ServiceSettings


class Settings(Days, ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="CATALOG_", frozen=True)
