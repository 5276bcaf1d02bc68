"""Steps that wait for a machine: retried once, then shown to staff."""
