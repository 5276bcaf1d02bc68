"""What branding needs of the world: a picture that is really one, and what a domain's TXT records say."""

from collections.abc import Awaitable, Callable
from io import BytesIO

from kit.problems import Refused

LOGO_BYTES_MAX = 512 * 1024
LOGO_SIDE_MAX = 2000
LOGO_SIDE_MIN = 16

TxtRecords = Callable[[str], Awaitable[list[str]]]
"""The TXT records at a name; none where there are none, or nobody answers."""


class NotALogo(Refused):
    """A logo is a PNG, JPEG or WebP picture of 16 to 2,000 pixels a side, of 512 KiB at most."""

    status = 422
    rule = "CON-1"


def clean_png(content: bytes) -> bytes:
    """The picture in `content` as a PNG of its own, without anything that may hide in the file. Raises `NotALogo`."""
    from PIL import Image, UnidentifiedImageError  # Loaded when the first logo comes.

    if len(content) > LOGO_BYTES_MAX:
        raise NotALogo(f"It has {len(content)} bytes.")
    try:
        with Image.open(BytesIO(content), formats=("PNG", "JPEG", "WEBP")) as picture:
            if not all(LOGO_SIDE_MIN <= side <= LOGO_SIDE_MAX for side in picture.size):
                raise NotALogo(f"It has {picture.width} by {picture.height} pixels.")
            clean = BytesIO()
            picture.convert("RGBA").save(clean, "PNG", optimize=True)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise NotALogo("It cannot be read as a picture.") from error
    return clean.getvalue()


def dns_txt(server: str | None) -> TxtRecords:
    """Ask the system's name servers, or the one at `server` (host:port)."""

    async def ask(name: str) -> list[str]:
        from dns.asyncresolver import Resolver  # Loaded when the first domain is to be proved.
        from dns.exception import DNSException

        try:
            resolver = Resolver(configure=server is None)
            if server is not None:
                host, _, port = server.rpartition(":")
                resolver.nameservers, resolver.port = [host], int(port)
            resolver.lifetime = 5
            answer = await resolver.resolve(name, "TXT")
        except DNSException:
            return []
        return [b"".join(record.strings).decode("utf-8", "replace") for record in answer]

    return ask
