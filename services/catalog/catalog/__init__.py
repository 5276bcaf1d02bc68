"""The catalog: suppliers and what they offer, where it can be seen, and on which terms."""
