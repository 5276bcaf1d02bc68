"""The technical kit of Tandem's services. It knows how, never what: no business word stands here."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kit.service import Service

__all__ = ["Service"]


def __getattr__(name: str) -> object:
    """`kit.Service`, loaded when asked for: a rule that imports `kit.clock` need not load a web framework."""
    if name == "Service":
        from kit.service import Service

        return Service
    raise AttributeError(name)
