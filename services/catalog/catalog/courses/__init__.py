"""Courses with their sessions, prices and credit offers."""
