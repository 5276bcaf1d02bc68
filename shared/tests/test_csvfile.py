"""Files as people send them: every usual encoding and delimiter, and every fault named."""

from contextlib import suppress
from typing import Annotated

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import BaseModel, Field

from kit.csvfile import FileNotUsable, read, write


class Book(BaseModel):
    title: str
    price: int = 0
    isbn: Annotated[str | None, Field(alias="ISBN code")] = None


def books(content: bytes) -> list[Book | list[str]]:
    """Each row as a book, or the names of the rules it breaks."""
    return [row.data or [e["rule"] for e in row.errors] for row in read(content, Book).rows()]


CITTA = Book(title="Città", price=12)


@pytest.mark.parametrize(
    "content",
    [
        "title,price\nCittà,12\n".encode(),
        "title,price\nCittà,12\n".encode("utf-8-sig"),
        "title;price\r\nCittà;12\r\n".encode(),
        "title\tprice\nCittà\t12".encode("utf-16"),
        "title;price\nCittà;12".encode("cp1252"),
        'Price , "TITLE"\n12,"Città"\n'.encode(),
        "title,price\rCittà,12\r".encode(),
        "_row,title,price,_error\n9,Città,12,was wrong\n".encode(),
    ],
)
def test_usual_encodings_and_delimiters_are_understood(content: bytes) -> None:
    assert books(content) == [CITTA]


def test_a_guess_at_the_encoding_is_said() -> None:
    assert read("title\nCittà".encode("cp1252"), Book).notes == [
        "read as Windows-1252, since it is not UTF-8: check letters with accents"
    ]
    assert read("title\nCittà".encode(), Book).notes == []


@pytest.mark.parametrize(
    ("content", "errors"),
    [
        (b"price\n1\n", [("title", "column_missing")]),
        (b"title,colour\n", [("colour", "column_unknown")]),
        (b"title,price,Price\n", [("price", "column_duplicate")]),
        (b"title;isbn code;;x\n", [("", "column_unknown"), ("x", "column_unknown")]),
        (b"", [("", "empty")]),
        (b"\n\n", [("", "empty")]),
        (b"\xef\xbb\xbftitle\n\xff", [("", "encoding")]),
        ("title\nx".encode("utf-16-le"), [("", "encoding")]),
        (b"PK\x03\x04\x00\x00", [("", "encoding")]),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(content: bytes, errors: list[tuple[str, str]]) -> None:
    with pytest.raises(FileNotUsable) as refused:
        read(content, Book)

    assert [(e["field"], e["rule"]) for e in refused.value.extra["errors"]] == errors


def test_a_broken_row_leaves_its_neighbours_alone() -> None:
    content = b'title,price\nA,1\nB\nC,x\n\n,3\nD,"1\n2"\nE\x00,1\n"F, ""the"" book",7\n' + b"G" * 20_001 + b",1\n"

    assert books(content) == [
        Book(title="A", price=1),
        ["ragged_row"],
        ["int_parsing"],
        ["missing"],
        ["int_parsing"],
        ["nul_character"],
        Book(title='F, "the" book', price=7),
        ["too_long"],
    ]


def test_rows_are_numbered_as_a_spreadsheet_shows_them() -> None:
    rows = list(read(b'title,price\n"A\nB",1\n\nC,2\n', Book).rows())

    assert [row.row for row in rows] == [2, 4]


def test_a_quote_that_is_never_closed_says_which_lines_it_swallowed() -> None:
    rows = list(read(b'title,price\nA,1\n"B,2\nC,3\nD,4\n', Book).rows())

    assert [row.data for row in rows] == [Book(title="A", price=1), None]
    assert "Lines 3 to 5" in rows[1].errors[0]["remedy"]


def test_exported_text_is_never_a_formula_and_comes_back_as_it_was() -> None:
    titles = ["=1+1", "+31 20 123", "-x", "@SUM(A1)", "plain", "it's", 'a "b", c']
    content = b"".join(write(["title", "price"], [(title, -5) for title in titles]))

    for line in content.decode("utf-8-sig").splitlines()[1:]:
        assert line.strip('"')[0] not in "=+-@"
        assert line.endswith(",-5")
    assert [book.title for book in books(content) if isinstance(book, Book)] == titles


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(content: bytes) -> None:
    for file in (content, b"title,price\n" + content):
        with suppress(FileNotUsable):
            list(read(file, Book).rows())


@example([(" '=", 0)])
@example([("' '=1", 0)])
@given(st.lists(st.tuples(st.text("ab,;\"'\n= €", min_size=1).filter(str.strip), st.integers()), max_size=20))
def test_what_is_written_is_read(rows: list[tuple[str, int]]) -> None:
    expected = [(title.strip(), price) for title, price in rows]
    found = books(b"".join(write(["title", "price"], rows)))

    assert [(b.title, b.price) for b in found if isinstance(b, Book)] == expected
