"""The wiring of academy, and all of it."""

from academy.certificates.consumers import on_enrollments_completed, on_partners_changed, on_people_erased
from academy.certificates.http import router as certificates
from academy.learners.consumers import on_people_changed
from academy.learnings.consumers import on_courses_published, on_enrollments_moved
from academy.learnings.http import router as learnings
from academy.settings import Settings
from kit import Service
from kit.auth import on_access_changed
from kit.cli import command_line
from schemas.learning import CertificateIssued, CertificateRevoked, CourseCompleted

service = Service(
    name="academy",
    package="academy",
    settings=Settings,
    publishes=[CourseCompleted, CertificateIssued, CertificateRevoked],
    consumers=[
        on_access_changed,
        on_people_changed,
        on_partners_changed,
        on_courses_published,
        on_enrollments_moved,
        on_enrollments_completed,
        on_people_erased,
    ],
    routers=[learnings, certificates],
)

cli = command_line(service)
