"""Companies that depend on the platform and serve customers of their own (CON-1)."""
