"""Services that partners order for their customers, on their way to running (CON-7)."""
