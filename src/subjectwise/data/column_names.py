"""Column names: which column of a table is the question, the label, the options, the source, the row id."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from subjectwise.errors import DataError


@dataclass(frozen=True)
class Columns:
    """Names of the columns to read. An empty name stands for the first of the usual names, listed below."""

    question: str = ""
    label: str = ""
    options: str = ""
    source: str = ""
    row_id: str = ""


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
            raise DataError(f"{location} has no column {given!r}; it has {', '.join(map(str, names))}.")
        return given
    for usual in USUAL_NAMES[role]:
        if usual in names:
            return usual
    if required:
        flag = f"--{role.replace('_', '-')}-column"
        raise DataError(
            f"{location} has no column for the {role}; it has {', '.join(map(str, names))}. Name it with {flag}."
        )
    return ""
