"""Who the platform is on an invoice and in a mail: read from the environment once, when first needed."""

from functools import cache
from typing import Any

from pydantic_settings import BaseSettings, SettingsConfigDict

from kit.settings import shared


class Platform(BaseSettings):
    """The platform as a party. The defaults serve development; an operator gives the real ones."""

    model_config = SettingsConfigDict(env_prefix="BILLING_", frozen=True)

    platform_email: str = shared("PLATFORM_EMAIL", "platform@tandem.example")
    """Where the platform itself receives mail."""
    platform_name: str = "Tandem"
    platform_street: str = "Voorbeeldstraat 1"
    platform_postal_code: str = "1011 AA"
    platform_city: str = "Amsterdam"
    platform_country: str = "NL"
    platform_vat_id: str = "NL000000000B00"
    platform_invoice_email: str = "invoices@tandem.example"
    platform_vat_bp: int = 21_00
    """Standard VAT of the platform's country, in basis points."""
    platform_size: str = "small"
    """`small` or `large`. As a small company it may be given 60 days by a small supplier (BIL-6)."""

    @property
    def details(self) -> dict[str, Any]:
        """The platform's invoicing details."""
        address = {
            "street": self.platform_street,
            "postal_code": self.platform_postal_code,
            "city": self.platform_city,
            "country": self.platform_country,
        }
        return {
            "legal_name": self.platform_name,
            "address": address,
            "vat_id": self.platform_vat_id,
            "invoice_email": self.platform_invoice_email,
        }


@cache
def platform() -> Platform:
    """The platform, as the environment described it when this process first asked."""
    return Platform()
