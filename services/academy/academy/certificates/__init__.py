"""Certificates: numbered, printed, verifiable by anyone, revocable (ACA-6)."""
