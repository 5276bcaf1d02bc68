"""Changing the price of a confirmed place: proposed with a reason, agreed by who it concerns (ENR-8)."""
