"""A class of people put on one course in one call."""
