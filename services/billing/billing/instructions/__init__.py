"""How an enrollment is invoiced: route, parties, reference, amounts and terms, fixed at approval."""
