"""Organisations whose people learn, and what their invoices must carry."""
