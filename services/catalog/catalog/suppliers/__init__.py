"""Supplier accounts, where they are shown, and their way to the first enrollment."""
