"""The rows of CSV text, each with the line where it begins, and what is wrong with a row that cannot be read.

A row that cannot be read costs no other: after a quote that is never closed, reading continues on the next line.
"""

from __future__ import annotations

import csv
import re
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass

from subjectwise.errors import DataError

# A row of several lines that is longer has a quote that was never closed: its lines are kept, to be read again.
_LONGEST_ROW = 2**24

_UNDECODABLE = re.compile("[\udc80-\udcff]")


@dataclass(frozen=True)
class CsvRow:
    """The cells of one row.

    Attributes:
        line: of the file where the row begins, from 1.
        cells: as text; empty where the row cannot be read.
        problem: a clause that says what is wrong with it, after "line 7 "; "" where nothing is.
    """

    line: int
    cells: list[str]
    problem: str = ""


def read_csv(lines: Iterator[str], delimiter: str = ",") -> Iterator[CsvRow]:
    """Yield the rows of CSV text, its header among them; lines without a character are not rows.

    Args:
        lines: with their line ends, undecodable bytes as surrogates (`errors="surrogateescape"`).
        delimiter: one character between cells.
    """
    csv.field_size_limit(2**31 - 1)  # a limit of the whole process, by default too low for documents
    source = _Lines(lines)
    while True:
        source.begin_row()
        try:
            cells = next(csv.reader(source, delimiter=delimiter, strict=True))
        except StopIteration:
            return
        except csv.Error:
            line = _quoted_line(source.read, delimiter) + source.first
            source.read_again()
            yield CsvRow(line, [], "has an opening quote that is not closed where its cell ends.")
            continue
        if any(map(has_undecodable, source.read)):
            yield CsvRow(source.first, [], NOT_UTF8)
        elif cells:
            yield CsvRow(source.first, cells)


def read_delimiter(text: str) -> str:
    r"""Return the delimiter that a user typed: one character, or `\t` for a tab; "" for none.

    Raises:
        DataError: it cannot be one.
    """
    delimiter = "\t" if text == "\\t" else text
    if len(delimiter) > 1 or delimiter in ('"', "\r", "\n"):
        raise DataError(f"Unknown delimiter {text!r}; give one character, such as ';', or \\t for a tab.")
    return delimiter


# Said of one line, after its number.
NOT_UTF8 = "is not UTF-8 text; convert the file first."


def has_undecodable(line: str) -> bool:
    """Return whether a line that was read with `errors="surrogateescape"` had bytes that are not UTF-8."""
    return not line.isascii() and _UNDECODABLE.search(line) is not None


def check_column_names(names: list[str], location: str) -> list[str]:
    """Return the names of a header, with `column_N` for an unnamed one beside another.

    Raises:
        DataError: two columns have the same name, so that one would hide the other.
    """
    unnamed = names.count("") > 1
    names = [f"column_{number}" if unnamed and not name else name for number, name in enumerate(names, start=1)]
    name, count = Counter(names).most_common(1)[0] if names else ("", 1)
    if count > 1:
        raise DataError(f"{location} has {count} columns with the name {name!r}; rename all but one of them.")
    return names


class _Lines:
    """Lines of which those of the current row can be read again.

    Attributes:
        first: the number of the current row's first line, from 1.
        read: the lines of the current row so far.
    """

    def __init__(self, lines: Iterator[str]) -> None:
        self._lines = lines
        self._again: deque[str] = deque()
        self.first = 1
        self.read: list[str] = []
        self._size = 0

    def begin_row(self) -> None:
        """Forget the lines of the row before."""
        self.first += len(self.read)
        self.read, self._size = [], 0

    def read_again(self) -> None:
        """Give the row up to its first line; the others are read again."""
        self._again.extendleft(reversed(self.read[1:]))
        del self.read[1:]

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        line = self._again.popleft() if self._again else next(self._lines)
        self.read.append(line)
        self._size += len(line)
        if self._size > _LONGEST_ROW and len(self.read) > 1:
            raise csv.Error("the row is too long")
        return line


def _quoted_line(lines: list[str], delimiter: str) -> int:
    """Return the index of the line with the opening quote that a row stumbled over."""
    opened = 0
    quoted = closed = False
    at_start = True
    for index, line in enumerate(lines):
        for character in line:
            if quoted:
                quoted, closed = (character != '"'), (character == '"')
            elif closed and character == '"':
                quoted, closed = True, False
            elif closed and character not in (delimiter, "\r", "\n"):
                return opened
            else:
                quoted = at_start and character == '"'
                opened = index if quoted else opened
                closed, at_start = False, character in (delimiter, "\r", "\n")
    return opened
