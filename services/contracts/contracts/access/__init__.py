"""Who may do what: grants, from the first to the revoked."""
