"""How the overview sorts names, and what a search looks for."""

import unicodedata


def sort_name(name: str) -> str:
    """A name as people look it up: in lower case, without accents."""
    plain = unicodedata.normalize("NFKD", name.casefold())
    return " ".join("".join(c for c in plain if not unicodedata.combining(c)).split())
