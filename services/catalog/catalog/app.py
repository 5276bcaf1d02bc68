"""The wiring of catalog, and all of it."""

from catalog.courses.http import router as courses
from catalog.partners import on_customer_changed, on_partner_changed, partner_of_customer
from catalog.settings import Settings
from catalog.suppliers.http import agreements, services, suppliers
from catalog.terms.http import router as terms
from kit import Service
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
    routers=[suppliers, agreements, services, courses, terms],
    partner_of_customer=partner_of_customer,
)

cli = command_line(service)
