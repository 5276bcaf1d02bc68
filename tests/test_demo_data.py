"""The demo's files are what the importers of the services read."""

import csv
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest

from catalog.course_imports.rules import CourseRow, partners_of
from contracts.customers.rules import Invoicing
from demo.data import FIRST_DAY, FOLDER, make
from enrollment.people.imports import PersonRow
from kit import csvfile

PEOPLE = sorted((FOLDER / "people").glob("*.csv"))


def rows(name: str) -> Iterator[dict[str, str]]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        yield from csv.DictReader(file)


def test_every_course_is_read_and_names_a_known_supplier_and_partners() -> None:
    parsed = list(csvfile.read((FOLDER / "courses.csv").read_bytes(), CourseRow).rows())
    courses = [row.data for row in parsed if row.data]
    suppliers = {row["name"] for row in rows("suppliers.csv")}
    partners = {row["name"] for row in rows("partners.csv")}

    assert [row.errors for row in parsed if row.errors] == []
    assert (len(courses), len(suppliers), len(partners)) == (300, 12, 8)
    assert {course.supplier for course in courses} == {None, *suppliers}
    assert {name for course in courses for name in partners_of(course.credit_partners)} <= partners
    assert sum(course.supplier is None and course.credits is not None for course in courses) == 60
    assert {course.language for course in courses} == {"nl", "it", "en"}
    assert all(course.sessions for course in courses if course.kind != "elearning")


def test_every_person_is_read_and_a_manager_stands_above_its_people() -> None:
    total = 0
    for path in PEOPLE:
        parsed = list(csvfile.read(path.read_bytes(), PersonRow).rows())
        assert [row.errors for row in parsed if row.errors] == []
        above: set[str] = set()
        for person in (row.data for row in parsed if row.data):
            assert person.email.endswith(f"@{path.stem}.example")
            assert person.manager_email is None or person.manager_email in above
            assert person.email not in above
            above.add(person.email)
        total += len(above)

    assert total == 5_000
    assert sum(path.stat().st_size for path in PEOPLE) < 600_000


def test_every_home_of_people_has_its_file() -> None:
    homes = [row["people"] for name in ("partners.csv", "customers.csv") for row in rows(name)]

    assert sorted(homes) == [f"people/{path.name}" for path in PEOPLE]


def test_the_files_are_as_mixed_as_the_world() -> None:
    starts = [path.read_bytes()[:60] for path in PEOPLE]

    assert any(start.startswith(b"\xef\xbb\xbf") for start in starts)
    assert any(start.startswith(b"name;") for start in starts)


@pytest.mark.parametrize("name", ["suppliers.csv", "customers.csv"])
def test_invoicing_details_are_right_and_one_customer_still_owes_its_vat_id(name: str) -> None:
    missing = {}
    for row in rows(name):
        address = {part: row[part] for part in ("street", "postal_code", "city", "country")}
        details = {part: row[part] for part in ("legal_name", "vat_id", "registration_number", "invoice_email")}
        if lacks := Invoicing.model_validate(details | {"address": address}).missing():
            missing[row["name"]] = lacks

    assert missing == ({} if name == "suppliers.csv" else {"Larkfield Logistics": ["vat_id"]})


def test_the_same_seed_makes_the_same_files(tmp_path: Path) -> None:
    made = [make(tmp_path / str(n), FIRST_DAY) for n in range(2)]

    assert made[0] == made[1]
    for name in made[0]:
        assert (tmp_path / "0" / name).read_bytes() == (tmp_path / "1" / name).read_bytes()


def test_the_sessions_can_be_moved_to_another_year(tmp_path: Path) -> None:
    make(tmp_path, date(2031, 3, 1))

    text = (tmp_path / "courses.csv").read_text()
    assert "2031-" in text
    assert "2027-" not in text
