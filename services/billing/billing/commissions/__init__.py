"""What partners earn of paid invoices, entry by entry."""
