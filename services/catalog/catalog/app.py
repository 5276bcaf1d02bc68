"""The wiring of catalog, and all of it."""

from catalog.course_imports.http import router as course_imports
from catalog.course_imports.usecases import COURSE_FILES
from catalog.courses.http import router as courses
from catalog.partners import on_customer_changed, on_partner_changed, partner_of_customer
from catalog.settings import Settings
from catalog.suppliers.http import agreements, services, suppliers
from catalog.terms.http import router as terms
from kit import Service, bulk
from kit.auth import on_access_changed
from kit.cli import command_line
from schemas.course import CoursePublished, TermsChanged
from schemas.supplier import SupplierChanged

service = Service(
    name="catalog",
    package="catalog",
    settings=Settings,
    publishes=[SupplierChanged, CoursePublished, TermsChanged],
    consumers=[on_access_changed, on_partner_changed, on_customer_changed],
    routers=[suppliers, agreements, services, courses, course_imports, terms],
    jobs=bulk.workers(COURSE_FILES),
    partner_of_customer=partner_of_customer,
)

cli = command_line(service)
