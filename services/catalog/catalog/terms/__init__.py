"""Commercial terms: who gives which discount, and what the platform keeps of it."""
