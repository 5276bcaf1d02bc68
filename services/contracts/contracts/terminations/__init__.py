"""Ending service contracts: from the request to the last day (CON-8 to CON-14)."""
