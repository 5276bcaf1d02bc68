"""Courses that come by file."""
