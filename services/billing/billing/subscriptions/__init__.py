"""A schedule per contract: its fees month by month in advance, its last month by the day, its buy-out."""
