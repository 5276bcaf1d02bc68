"""Bulk work as a resource: many rows in one call, checked, shown, started, followed row by row.

A job comes from a CSV file (`router`) or from a use case (`submit`). A worker checks its rows and hands the
good ones to the kind's `apply`, 500 in one transaction with their outcomes: a job interrupted anywhere goes on
with the first row that has none.

    checking → previewed → running → done        failed: the job as a whole could not be checked or applied

    COURSES = Kind("courses", CourseRow, key=lambda row: row.ref, apply=keep_courses)
    kit.Service(..., routers=[bulk.router("/v1/course-imports", COURSES, ["admin"])], jobs=bulk.workers(COURSES))
"""

from kit.bulk.edge import router
from kit.bulk.work import BulkJob, BulkRow, Kind, Outcome, jobs, rows, submit, workers

__all__ = ["BulkJob", "BulkRow", "Kind", "Outcome", "jobs", "router", "rows", "submit", "workers"]
