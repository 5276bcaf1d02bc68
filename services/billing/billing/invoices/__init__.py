"""Issued invoices and credit notes: numbered, never edited; what was paid of them."""
