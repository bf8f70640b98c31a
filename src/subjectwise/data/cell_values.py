"""What the value of one cell means: missing, text, a list of options, a question. The same rule for every format.

Values come as JSON and parquet have them; a CSV file has text alone.
"""

from __future__ import annotations

import ast
import io
import json
import tokenize
from collections.abc import Sequence

from subjectwise.errors import DataError, QuestionError
from subjectwise.records import Question
from subjectwise.utils.clean_text import clean_text

# What pandas writes into a text file for a missing value.
_MISSING_TEXTS = frozenset({"nan", "NaN", "<NA>"})

# Up to here every whole number that a float holds is the one that was meant.
_LARGEST_WHOLE = 2**53

_KINDS: dict[type, str] = {
    bool: "true or false", int: "a number", float: "a number", dict: "an object", list: "a list", bytes: "bytes",
}  # fmt: skip


def is_missing(value: object) -> bool:
    """Return whether a cell has no value: None, NaN, or what pandas writes for either (nan, NaN, <NA>)."""
    if isinstance(value, str):
        return value in _MISSING_TEXTS
    return value is None or (isinstance(value, float) and value != value)


def read_name(value: object, what: str) -> str:
    """Return a label, source or row id as text; "" where it is missing.

    A whole number stays whole (1.0, which pandas makes of 1 in a column with missing values, is "1").

    Args:
        value: of the cell.
        what: the cell is, for errors.

    Raises:
        DataError: it is an object, a list or bytes.
    """
    if is_missing(value):
        return ""
    if isinstance(value, float) and value.is_integer() and abs(value) <= _LARGEST_WHOLE:
        value = int(value)
    if isinstance(value, (dict, list, bytes)):
        raise DataError(f"the {what} must be text or a number, not {_kind(value)}.")
    return clean_text(str(value))


def read_question(value: object, options: object = None) -> Question:
    """Return a question from its cell and that of its options.

    Raises:
        QuestionError: the text is missing, empty, too long, or not text; a number is not a question.
        DataError: the options are not a list of texts.
    """
    if is_missing(value):
        raise QuestionError("The question is missing.")
    if not isinstance(value, str):
        raise QuestionError(f"A question must be text, not {_kind(value)}.")
    return Question(value, read_options(options))


def read_options(value: object) -> tuple[str, ...]:
    """Return answer options from a list, or from text with one as JSON or Python writes it; () where it is empty.

    Text with a list comes from CSV files; pandas writes lists as Python does, and numpy's arrays without commas.

    Raises:
        DataError: it is not a list, or an option is not text or a number.
    """
    if is_missing(value) or value == "":
        return ()
    if isinstance(value, str):
        items = _parse_list(value)
        if items is None:
            raise DataError(
                f"the options are not a list: {value[:60]!r}. Write them as a JSON list, or rename their column."
            )
        value = items
    if not isinstance(value, (list, tuple)):
        raise DataError(f"the options must be a list, not {_kind(value)}.")
    for item in value:
        if isinstance(item, (dict, list, tuple, bytes)):
            raise DataError(f"an option must be text or a number, not {_kind(item)}.")
    # Within a list a text is a text: two rows of MMLU-Pro have the option "nan".
    return tuple(str(item) for item in value if isinstance(item, str) or not is_missing(item))


def _parse_list(text: str) -> Sequence[object] | None:
    """Return the list that `text` spells as JSON, Python or numpy does; None where it spells none."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        try:
            value = _parse_python(text)
        except (ValueError, SyntaxError, MemoryError, RecursionError, tokenize.TokenError):
            return None
    return value if isinstance(value, (list, tuple)) else None


def _parse_python(text: str) -> object:
    """Return the value of a Python literal, in which texts without a comma between them are separate items."""
    tokens = [
        token
        for token in tokenize.generate_tokens(io.StringIO(text.strip()).readline)
        if token.type not in (tokenize.NL, tokenize.NEWLINE, tokenize.ENDMARKER)
    ]
    spaced = []
    for token, following in zip(tokens, [*tokens[1:], None], strict=True):
        spaced.append(token.string)
        if following and token.type == following.type == tokenize.STRING:
            spaced.append(",")
    return ast.literal_eval(" ".join(spaced))


def _kind(value: object) -> str:
    return _KINDS.get(type(value), type(value).__name__)
