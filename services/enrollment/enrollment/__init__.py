"""Enrollment: people, offers, and their places on courses from the first request to the end."""
