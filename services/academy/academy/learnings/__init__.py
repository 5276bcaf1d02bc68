"""E-learning and online courses that confirmed enrollments open to people (ACA-5)."""
