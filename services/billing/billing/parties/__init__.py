"""Who can stand on an invoice: local copies of customers and suppliers, and the route per customer."""
