"""Column names: which column of a table is the question, the label, the options, the source, the row id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from subjectwise.errors import DataError


@dataclass(frozen=True)
class Columns:
    """Names of the columns to read. An empty name stands for the first of the usual names, listed below.

    Attributes:
        ignore_options: whether the answer options are not read, whatever their column is called.
    """

    question: str = ""
    label: str = ""
    options: str = ""
    source: str = ""
    row_id: str = ""
    ignore_options: bool = False

    def given(self, role: str) -> str:
        """Return the name that the user gave for a key of `USUAL_NAMES`; "" for none."""
        return str(getattr(self, role))


# Between the cells of a CSV file, and what several of them are called.
DELIMITERS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}

USUAL_NAMES: dict[str, tuple[str, ...]] = {
    "question": ("question", "text", "prompt", "input", "inputs", "sentence", "query"),
    "label": ("label", "category", "subject", "class", "target"),
    "options": ("options", "choices"),
    "source": ("src", "source"),
    "row_id": ("row_id", "question_id", "id"),
}


def find_column(names: Sequence[str], role: str, given: str, location: str, required: bool = True) -> str:
    """Return the column of `names` for `role`: the given one, else the first of the usual names; "" if none.

    Args:
        names: of the table's columns.
        role: a key of `USUAL_NAMES`.
        given: the name that the user gave; "" for none.
        location: of the table, for errors.
        required: whether there must be one.

    Raises:
        DataError: the given column or a required one is missing.
    """
    if given:
        if given not in names:
            _check_delimiter(names, (given,), location)
            raise DataError(f"{location} has no column {given!r}; it has {', '.join(names)}.")
        return given
    for usual in USUAL_NAMES[role]:
        if usual in names:
            return usual
    if required:
        _check_delimiter(names, USUAL_NAMES[role], location)
        flag = f"--{role.replace('_', '-')}-column"
        raise DataError(f"{location} has no column for the {role}; it has {', '.join(names)}. Name it with {flag}.")
    return ""


def _check_delimiter(names: Sequence[str], wanted: Sequence[str], location: str) -> None:
    """Raise DataError where a wanted column is there once the header is split at another delimiter."""
    for delimiter, plural in DELIMITERS.items():
        if delimiter != "," and any(delimiter in name and {*name.split(delimiter)} & {*wanted} for name in names):
            shown = "\\t" if delimiter == "\t" else delimiter
            raise DataError(
                f"{location} looks separated by {plural}; give --delimiter '{shown}' where the command has it, "
                "or save it with commas."
            )
