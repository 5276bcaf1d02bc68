"""CSV files as people send and open them: any usual encoding and delimiter in, no formulas out.

A file that cannot be read at all is refused by name. A row that is wrong is a row with errors; its
neighbours are read.
"""

import codecs
import csv
import io
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from pydantic import BaseModel, ValidationError

from kit.problems import Refused, field_errors

M = TypeVar("M", bound=BaseModel)

CELL_CHARS_MAX = 20_000
csv.field_size_limit(1 << 27)  # a quote that is never closed is one bad row, not the end of the file
_BOMS = (("utf-8-sig", codecs.BOM_UTF8), ("utf-16", codecs.BOM_UTF16_LE), ("utf-16", codecs.BOM_UTF16_BE))
_FORMULA = r"[\s']*[=+\-@\t\r]"
"""What a spreadsheet would run; written behind an apostrophe, which is taken off again when it is read."""


class FileNotUsable(Refused):
    """The file cannot be read; `errors` say why."""

    status = 422
    remedy = "Save it as CSV in UTF-8 with the columns named in `columns`, then send it again."


@dataclass(frozen=True, slots=True)
class Parsed(Generic[M]):
    """A row: `data` where it is right, else `errors` (field, rule, remedy). The header is row 1."""

    row: int
    raw: Mapping[str, str]
    data: M | None
    errors: list[dict[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class File(Generic[M]):
    """A file whose header fits `model`; the rows are parsed as they are asked for."""

    model: type[M]
    text: str
    delimiter: str
    columns: list[str]
    """The header's columns as the model names them; those that are ignored begin with `_`."""
    notes: list[str]
    """What was assumed, for the sender to see."""

    def rows(self) -> Iterator[Parsed[M]]:
        """Every row that is not blank, in order. Raises `FileNotUsable` where the file breaks off."""
        reader = csv.reader(io.StringIO(self.text, newline=""), delimiter=self.delimiter, skipinitialspace=True)
        number = 0
        while True:
            first = reader.line_num + 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                raise _unusable(self.model, f"line {first}", "unreadable", str(error)) from error
            if cells is None:
                return
            number += 1
            if number > 1 and any(cell.strip() for cell in cells):
                yield self._parsed(number, cells, first, reader.line_num)

    def _parsed(self, number: int, cells: list[str], first: int, last: int) -> Parsed[M]:
        raw = dict(zip(self.columns, cells, strict=False))
        if len(cells) != len(self.columns):
            remedy = f"It has {len(cells)} cells, the header has {len(self.columns)}."
            if last > first:
                remedy += f" Lines {first} to {last} were read as one row: is a quote never closed?"
            return Parsed(number, raw, None, [_error("", "ragged_row", remedy)])
        errors = [_error(c, "nul_character", "Remove it.") for c, cell in raw.items() if "\0" in cell]
        errors += [
            _error(c, "too_long", f"At most {CELL_CHARS_MAX} characters.")
            for c, cell in raw.items()
            if len(cell) > CELL_CHARS_MAX
        ]
        if errors:
            return Parsed(number, raw, None, errors)
        given = {
            name: re.sub(f"^'(?={_FORMULA})", "", value.strip()).strip()
            for name, value in raw.items()
            if value.strip() and not name.startswith("_")
        }
        try:
            return Parsed(number, raw, self.model.model_validate(given))
        except ValidationError as error:
            return Parsed(number, raw, None, field_errors(error.errors()))


def read(content: bytes, model: type[M]) -> File[M]:
    """Find out encoding and delimiter, and check the header. Raises `FileNotUsable`.

    Columns are the model's fields, or their aliases, in any order and case; those beginning with `_` are
    ignored. An empty cell is a missing value.
    """
    text, notes = _decoded(content, model)
    header = re.split(r"[\r\n]", text, maxsplit=1)[0]
    known = {_name(f.alias or name): name for name, f in model.model_fields.items()}

    def cells(delimiter: str) -> list[str]:
        return next(csv.reader([header], delimiter=delimiter, skipinitialspace=True), [])

    delimiter = max(",;\t", key=lambda d: (sum(_name(c) in known for c in cells(d)), len(cells(d))))
    found = [_name(c) for c in cells(delimiter)]
    required = {_name(f.alias or name) for name, f in model.model_fields.items() if f.is_required()}
    errors = [_error(c, "column_missing", f"Add the column {c}.") for c in sorted(required - set(found))]
    for n, name in enumerate(found):
        if name in found[:n]:
            errors.append(_error(name, "column_duplicate", "Keep one of these columns."))
        elif name not in known and not name.startswith("_"):
            errors.append(_error(name, "column_unknown", "Remove this column or name it rightly."))
    if errors:
        raise FileNotUsable(errors=errors, columns=sorted(known))
    return File(
        model, text, delimiter, [name if name.startswith("_") else _alias(model, known[name]) for name in found], notes
    )


def _decoded(content: bytes, model: type[BaseModel]) -> tuple[str, list[str]]:
    encoding = next((name for name, bom in _BOMS if content.startswith(bom)), None)
    try:
        text = content.decode(encoding or "utf-8")
        notes = [f"read as {encoding}"] if encoding == "utf-16" else []
    except UnicodeDecodeError as error:
        if encoding:
            raise _unusable(model, "", "encoding", f"It says it is {encoding}, and is not.") from error
        text = content.decode("cp1252", "replace")
        notes = ["read as Windows-1252, since it is not UTF-8: check letters with accents"]
    if "\0" in text.partition("\n")[0]:
        raise _unusable(model, "", "encoding", "It is not text: save it as CSV in UTF-8.")
    if not text.strip():
        raise _unusable(model, "", "empty", "It has no header.")
    return text, notes


def write(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """A CSV file for spreadsheets, in pieces: UTF-8 with its mark; text that looks like a formula is quoted."""
    out = io.StringIO(newline="")
    out.write("\ufeff")
    csv.writer(out).writerow(columns)
    yield out.getvalue().encode()
    yield from more(rows)


def more(rows: Iterable[Sequence[object]]) -> Iterator[bytes]:
    """Further rows of a file that `write` began."""
    out = io.StringIO(newline="")
    writer = csv.writer(out)
    for row in rows:
        writer.writerow([_safe(value) for value in row])
        if out.tell() > 64_000:
            yield out.getvalue().encode()
            out.seek(0)
            out.truncate()
    yield out.getvalue().encode()


def _safe(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and re.match(_FORMULA, value) else value


def _name(column: str) -> str:
    return re.sub(r"[\s-]+", "_", column.strip().lower())


def _alias(model: type[BaseModel], name: str) -> str:
    return model.model_fields[name].alias or name


def _error(field: str, rule: str, remedy: str) -> dict[str, str]:
    return {"field": field, "rule": rule, "remedy": remedy}


def _unusable(model: type[BaseModel], field: str, rule: str, remedy: str) -> FileNotUsable:
    return FileNotUsable(errors=[_error(field, rule, remedy)], columns=sorted(model.model_fields))
