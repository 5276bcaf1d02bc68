"""Course files over HTTP: upload, preview, start, progress, rows, error file."""

from catalog.course_imports.usecases import COURSE_FILES
from kit import bulk
from kit.auth import Role

router = bulk.router(
    "/v1/course-imports",
    COURSE_FILES,
    [Role.ADMIN, Role.SUPPORT, Role.SUPPLIER_USER, Role.PARTNER_ADMIN],
)
