"""The enrollment service, wired: what it announces, listens to, answers and does by the clock."""

import kit
from enrollment.approvals.http import APPROVE
from enrollment.approvals.jobs import expire_requests, remind
from enrollment.approvals.usecases import PURPOSE as APPROVAL
from enrollment.copies.consumers import on_courses, on_customers, on_partners, on_suppliers, on_terms
from enrollment.copies.usecases import partner_of_customer
from enrollment.enrollments.consumers import on_answers
from enrollment.enrollments.http import router as enrollments
from enrollment.people.http import router as people
from enrollment.prices.http import router as offers
from enrollment.settings import Settings
from enrollment.suppliers.http import SUPPLIER
from enrollment.suppliers.usecases import PURPOSE as ENROLLMENT_PAGE
from kit import links
from kit.auth import on_access_changed
from schemas.enrollment import (
    EnrollmentApproved,
    EnrollmentCancelled,
    EnrollmentCompleted,
    EnrollmentConfirmed,
    EnrollmentDeclined,
    EnrollmentExpired,
    EnrollmentMoved,
    EnrollmentRefused,
    EnrollmentRepriced,
    EnrollmentRequested,
    EnrollmentWithdrawn,
)
from schemas.person import PersonChanged

service = kit.Service(
    name="enrollment",
    package="enrollment",
    settings=Settings,
    publishes=[
        PersonChanged,
        EnrollmentRequested,
        EnrollmentApproved,
        EnrollmentDeclined,
        EnrollmentWithdrawn,
        EnrollmentExpired,
        EnrollmentConfirmed,
        EnrollmentRefused,
        EnrollmentMoved,
        EnrollmentRepriced,
        EnrollmentCancelled,
        EnrollmentCompleted,
    ],
    consumers=[on_access_changed, on_partners, on_customers, on_suppliers, on_courses, on_terms, on_answers],
    routers=[people, offers, enrollments, links.router({APPROVAL: APPROVE, ENROLLMENT_PAGE: SUPPLIER})],
    jobs=[remind, expire_requests],
    partner_of_customer=partner_of_customer,
)
