"""Billing: wallets and their credits, invoicing instructions, and later invoices and commissions."""
