"""Everything enrollment reads from its environment, once, at start."""

from pydantic import PositiveFloat
from pydantic_settings import SettingsConfigDict

from kit.settings import ServiceSettings


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="ENROLLMENT_", frozen=True)

    time_zone: str = "Europe/Amsterdam"
    """The days of prices, cancellation terms and working days are those of this zone."""
    step_timeout_s: PositiveFloat = 60.0
    """What a step by a machine may take before it is asked for again."""
