"""Numbers that come from another provider, or go to one (CON-7)."""
