"""What can be ordered, and what each customer runs: service products and service contracts (CON-7, BIL-12)."""
