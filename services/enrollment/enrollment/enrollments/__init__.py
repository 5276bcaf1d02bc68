"""The enrollment: one person on one course, from its first state to its last."""
