"""Makes the demo's data set: `python -m demo.data` writes the CSV files in demo/data/, always the same ones.

Names of people are random pairs of first and last names. Addresses are under .example, VAT ids have the right form
and belong to nobody we know. `--first-day` moves the sessions, for whoever comes when the written ones are past.
"""

import csv
import random
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Annotated

import stdnum
import typer
from faker import Faker
from stdnum.exceptions import ValidationError

from demo.words import (
    CUSTOMERS,
    DESCRIPTIONS,
    PARTNERS,
    PLATFORM_COURSES,
    PLATFORM_PLACES,
    SCHOOLS,
    SUMMARIES,
    Organisation,
    School,
)

FOLDER = Path(__file__).parent / "data"
SEED = 20_270_301
FIRST_DAY = date(2027, 3, 1)
PEOPLE_PER_MANAGER = 12
LOCALES = {"nl": "nl_NL", "it": "it_IT", "en": "en_GB"}
PRICES = {
    "classroom": (295, 345, 395, 495, 650, 795, 950, 1_250),
    "online": (145, 195, 245, 295, 350),
    "elearning": (59, 79, 95, 120),
}
DAYS = {"classroom": ("09:00-17:00", "09:30-16:30"), "online": ("09:00-12:30", "13:00-16:30")}

Row = dict[str, object]


class Maker:
    """Draws everything from one seed, in one order."""

    def __init__(self, first_day: date) -> None:
        self.first_day = first_day
        self.chance = random.Random(SEED)
        self.faker = {language: Faker(locale) for language, locale in LOCALES.items()}
        for faker in self.faker.values():
            faker.seed_instance(SEED)

    # -- organisations -------------------------------------------------------------------------------

    def vat_id(self, country: str) -> str:
        """A number of the country's form with right check digits."""
        rules = stdnum.get_cc_module(country, "vat")
        if rules is None:
            raise ValueError(f"no VAT ids of {country} are known")
        while True:
            digits = "".join(self.chance.choices("0123456789", k=9))
            form = {
                "NL": f"NL{digits}B{self.chance.randint(1, 99):02}",
                "IT": f"IT0{digits[:6]}0{self.chance.randint(1, 99):02}{digits[-1]}",
                "IE": f"IE{digits[:7]}{self.chance.choice('ABCDEFGHIJKLMNOPQRSTUVW')}",
            }[country]
            try:
                rules.validate(form)
            except ValidationError:
                continue
            return form

    def invoicing(self, o: Organisation, vat_known: bool = True) -> Row:
        return {
            "legal_name": o.legal_name,
            "street": o.street,
            "postal_code": o.postal_code,
            "city": o.city,
            "country": o.country,
            "vat_id": self.vat_id(o.country) if vat_known else "",
            "registration_number": str(self.chance.randint(20_000_000, 89_999_999)),
            "invoice_email": f"invoices@{o.domain}.example",
        }

    def person(self, o: Organisation, taken: set[str]) -> tuple[str, str]:
        """A name and an address of its own at the organisation."""
        faker = self.faker[o.language]
        name = f"{faker.first_name()} {faker.last_name()}"
        plain = unicodedata.normalize("NFKD", name.lower()).encode("ascii", "ignore").decode()
        local = re.sub(r"[^a-z0-9]+", ".", plain.replace("'", "")).strip(".")
        address, n = f"{local}@{o.domain}.example", 1
        while address in taken:
            n += 1
            address = f"{local}{n}@{o.domain}.example"
        taken.add(address)
        return name, address

    def suppliers(self) -> Iterator[Row]:
        for school in SCHOOLS:
            o = school.organisation
            name, email = self.person(o, set())
            yield {
                "name": o.name,
                "size": o.size,
                "language": o.language,
                **self.invoicing(o),
                "user_name": name,
                "user_email": email,
            }

    def partners(self) -> Iterator[Row]:
        for partner in PARTNERS:
            o = partner.organisation
            name, _ = self.person(o, set())
            yield {
                "name": o.name,
                "kind": partner.kind,
                "wallet": "yes" if partner.wallet else "no",
                "language": o.language,
                "credits": partner.credits,
                "admin_name": name,
                "admin_email": f"admin@{o.domain}.example",
                "people": f"people/{o.domain}.csv",
            }

    def customers(self) -> Iterator[Row]:
        for customer in CUSTOMERS:
            o = customer.organisation
            yield {
                "name": o.name,
                "partner": customer.partner,
                "size": o.size,
                "language": o.language,
                **self.invoicing(o, customer.vat_known),
                "people": f"people/{o.domain}.csv",
            }

    # -- people --------------------------------------------------------------------------------------

    def people(self, o: Organisation, count: int, *, hr: bool) -> list[Row]:
        """Managers first, so that whoever reads from the top knows everybody's manager already."""
        taken: set[str] = set()
        managers = max(1, count // PEOPLE_PER_MANAGER)
        rows: list[Row] = []
        for n in range(count):
            name, email = self.person(o, taken)
            leads = n < managers
            above = rows[0] if leads and n else None if leads else rows[self.chance.randrange(managers)]
            rows.append(
                {
                    "name": name,
                    "email": email,
                    "language": o.language,
                    "manager_email": above["email"] if above else "",
                    "roles": ("hr manager" if hr and n == 0 else "manager") if leads else "",
                }
            )
        return rows

    # -- courses -------------------------------------------------------------------------------------

    def courses(self) -> Iterator[Row]:
        for school in SCHOOLS:
            code = "".join(word[0] for word in re.findall(r"\w+", school.organisation.name)).upper()
            for n, subject in enumerate(school.subjects, 1):
                for form, variant in enumerate(school.forms):
                    yield self.school_course(school, f"{code}-{n:02}{'ab'[form]}", f"{subject} · {variant}")
        for n, (kind, *titles, credits) in enumerate(PLATFORM_COURSES, 1):
            for language, title in zip(("en", "nl", "it"), titles, strict=True):
                yield self.platform_course(f"T-{n:02}{language}", kind, str(title), language, int(credits))

    def school_course(self, school: School, code: str, title: str) -> Row:
        o = school.organisation
        kind = (
            "classroom" if school.hands_on else self.chance.choices(("classroom", "online", "elearning"), (5, 4, 1))[0]
        )
        seats = self.chance.choice((8, 10, 12, 14, 16)) * (2 if kind == "online" else 1)
        return {
            "code": code,
            "title": title,
            "supplier": o.name,
            "kind": kind,
            "language": o.language,
            "category": school.category,
            "topics": school.topics,
            "trainers": "" if kind == "elearning" else self.person(o, set())[0],
            "price": self.price(o, kind),
            "vat": self.chance.choice(("standard", "standard", "exempt_education")),
            "certificate": self.chance.choice(("yes", "yes", "no")),
            "duration_minutes": {"classroom": 420, "online": 210, "elearning": 90}[kind],
            "free_until_days": self.chance.choice((7, 14, 14, 28)),
            "keep_percent": self.chance.choice((50, 100)),
            "summary": SUMMARIES[o.language, kind],
            "description": DESCRIPTIONS[o.language],
            "sessions": self.sessions(kind, school.places, seats),
        }

    def platform_course(self, code: str, kind: str, title: str, language: str, credits: int) -> Row:
        chosen = {"T-15en": "Lumen Learning=4|Kestrel People Development", "T-20nl": "Noorderlicht Opleidingen=10"}
        return {
            "code": code,
            "title": title,
            "kind": kind,
            "language": language,
            "category": "learning",
            "vat": "standard",
            "certificate": "yes",
            "duration_minutes": {"classroom": 420, "online": 210, "elearning": 45}[kind],
            "summary": SUMMARIES[language, kind],
            "description": DESCRIPTIONS[language],
            "sessions": self.sessions(kind, PLATFORM_PLACES[language], 30),
            "credits": credits,
            "credit_partners": chosen.get(code, ""),
        }

    def price(self, o: Organisation, kind: str) -> str:
        """As the supplier's country writes it."""
        amount = self.chance.choice(PRICES[kind])
        if o.country == "IE":
            return f"{amount:,}.00"
        return f"{amount:,},00".replace(",", ".", 1) if amount >= 1_000 else f"{amount},00"

    def sessions(self, kind: str, places: Sequence[str], seats: int) -> str:
        """Two to four working days in the year from the first day on; an e-learning has none."""
        if kind == "elearning":
            return ""
        days = sorted(self.chance.sample(range(14, 380), self.chance.randint(2, 4)))
        said = []
        for after in days:
            day = self.first_day + timedelta(days=after)
            day += timedelta(days=max(0, day.weekday() - 4) and 7 - day.weekday())
            place = "" if kind == "online" else f" {self.chance.choice(places)}"
            said.append(f"{day} {self.chance.choice(DAYS[kind])}{place} ({seats})")
        return " | ".join(dict.fromkeys(said))


def write(path: Path, rows: Iterable[Row], *, delimiter: str = ",", encoding: str = "utf-8") -> int:
    """A CSV file of rows that share their first row's columns, or have more. Returns how many."""
    held = list(rows)
    columns = list(dict.fromkeys(name for row in held for name in row))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding=encoding, newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", delimiter=delimiter, lineterminator="\n")
        writer.writeheader()
        writer.writerows(held)
    return len(held)


def make(folder: Path, first_day: date) -> dict[str, int]:
    """Write every file; says how many rows each has."""
    maker = Maker(first_day)
    made = {
        "suppliers.csv": write(folder / "suppliers.csv", maker.suppliers()),
        "partners.csv": write(folder / "partners.csv", maker.partners()),
        "customers.csv": write(folder / "customers.csv", maker.customers()),
        "courses.csv": write(folder / "courses.csv", maker.courses()),
    }
    homes = [(p.organisation, p.people, False) for p in PARTNERS]
    homes += [(c.organisation, c.people, True) for c in CUSTOMERS]
    for o, count, hr in homes:
        # The world as it is: one spreadsheet marks its encoding, an Italian one separates by semicolons.
        encoding = "utf-8-sig" if o.domain == "noorderlicht" else "utf-8"
        delimiter = ";" if o.country == "IT" else ","
        name = f"people/{o.domain}.csv"
        made[name] = write(folder / name, maker.people(o, count, hr=hr), delimiter=delimiter, encoding=encoding)
    return made


def main(
    folder: Annotated[Path, typer.Option(help="Where the files go.")] = FOLDER,
    first_day: Annotated[str, typer.Option(help="Sessions are in the year after this day.")] = str(FIRST_DAY),
) -> None:
    """Write the demo's data set."""
    for name, rows in make(folder, date.fromisoformat(first_day)).items():
        typer.echo(f"{name:32} {rows:5}")


if __name__ == "__main__":
    typer.run(main)
