"""The enrollment service, wired: what it announces, listens to, answers and does by the clock."""

import kit
from enrollment.approvals.http import APPROVE
from enrollment.approvals.jobs import expire_requests, remind
from enrollment.approvals.usecases import PURPOSE as APPROVAL
from enrollment.classes.http import router as classes
from enrollment.classes.usecases import CLASSES
from enrollment.copies.consumers import on_courses, on_customers, on_partners, on_suppliers, on_terms
from enrollment.copies.usecases import partner_of_customer
from enrollment.enrollments.consumers import on_answers
from enrollment.enrollments.http import router as enrollments
from enrollment.people.http import router as people
from enrollment.people.imports import PEOPLE
from enrollment.prices.http import router as offers
from enrollment.repricing.http import REPRICE
from enrollment.repricing.http import router as price_changes
from enrollment.repricing.usecases import PURPOSE as PRICE_CHANGE
from enrollment.sagas.http import router as sagas
from enrollment.sagas.jobs import watchdog
from enrollment.settings import Settings
from enrollment.suppliers.http import SUPPLIER
from enrollment.suppliers.usecases import PURPOSE as ENROLLMENT_PAGE
from kit import bulk, links
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
    routers=[
        people,
        bulk.router("/v1/people-imports", PEOPLE, ["admin", "support", "partner_admin", "customer_admin"]),
        offers,
        enrollments,
        price_changes,
        classes,
        sagas,
        links.router({APPROVAL: APPROVE, ENROLLMENT_PAGE: SUPPLIER, PRICE_CHANGE: REPRICE}),
    ],
    jobs=[remind, expire_requests, watchdog, *bulk.workers(PEOPLE, CLASSES)],
    gauges={
        "enrollment_sagas_overdue": (
            "Enrollments whose machine step was announced again and is past its deadline",
            "select count(*) from enrollments where attempts > 0 and step_until <= now()"
            " and waits_for in ('credits.held', 'credits.charged', 'invoice.instructed')",
        ),
        "enrollment_saga_age_seconds": (
            "Age of the oldest machine step that is not answered yet",
            "select coalesce(extract(epoch from now() - min(step_since)), 0) from enrollments"
            " where step_until is not null and waits_for in ('credits.held', 'credits.charged', 'invoice.instructed')",
        ),
    },
    partner_of_customer=partner_of_customer,
)
