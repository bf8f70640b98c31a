"""Holds the English of the package, its README and its documents to the words of docs/glossary.md.

A short list of words and phrases that a reader of the field has to translate. Comments, docstrings, messages, prose and
identifiers are read; the log and the decisions, which are history, are not, nor what a model wrote.
"""

from __future__ import annotations

import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
HISTORY = ("docs/log.md", "docs/decisions/")
# Written by `subjectwise card` and by models; made again with each release.
GENERATED = ("src/subjectwise/shipped/",)

_UNIT = "(?:row|label|line|epoch|batch|question|second|minute|hour|token|step|file|level|class|request|process|run)"
# Words between two articles that keep "a row and a column" and "is a label a name" apart from "a row a level".
_JOINT = (
    "(?!(?:and|or|of|as|with|without|to|for|in|into|inside|within|on|at|by|from|per|over|under|after|before|between"
    "|has|is|are|was|not|than|that|if|when|where|gives?|but|only|such)\\b)"
)

_ORDINAL = " (?:time|copy|pass|one|call|run|question|answer)\\b"

# (pattern, what to say). Spaces match line breaks too; case does not matter.
PROSE = [
    (r"places?\b", "index, position, path, device or location"),
    (r"(?:mend|mends|mended|mending)\b", "correct (spelling)"),
    (r"honest(?:y|ly)?\b", "calibrated"),
    (r"(?:near-)?twins?\b", "duplicate, near-duplicate"),
    (r"surest\b", "most confident"),
    (r"anew\b", "again, new"),
    (r"told\b", "passed to, reported, said"),
    (r"held (?:rows|questions|examples|set|split)\b", "validation rows"),
    (r"(?:is|are|was|were|be) no (?!longer\b|more\b|less\b|fewer\b|better\b|worse\b|\w+er than\b)", "is not a"),
    (r"(?:is|are) not there\b", "is missing, is not available"),
    (r"(?:has|have) not\b(?=[.,;:)])", "lacks"),
    (r"(?:cannot|could not) be had\b", "is not available"),
    (r"stands? twice\b", "is a duplicate"),
    (r"(?:un)?like lengths\b", "similar lengths, different lengths"),
    (rf"(?:an?|one) {_JOINT}[\w-]+ (?:{_JOINT}[\w-]+ )?an? {_UNIT}\b(?!'s\b|{_ORDINAL})", "one X per Y"),
    (rf"\w+s an? (?:second|minute|hour|token)\b(?!{_ORDINAL})", "Xs per Y"),
    (r"(?:milli)?seconds an? (?:question|row|step|batch|epoch)\b", "seconds per Y"),
]  # fmt: skip

# Blanked out before the patterns are searched.
ALLOWED = [
    r"\bin (?:its |their )?place\b",
    r"\b(?:to|can|may|must) place\b",
    r"\b(?:take|takes|taking|took|taken) (?:the )?place\b",
    r"\bdecimal places?\b",
    r"\bplace-(?:items|content|self)\b",  # CSS
    r"\b(?:there|There) (?:is|are|was|were) no\b",
    r"\btold apart\b",
]

# Parts of an identifier, such as `place` in `place_of` and `placeOf`.
NAMES = {
    "place": "index, position, path, device or location",
    "places": "indices, positions, paths",
    "found": "result, or the thing's own name",
    "mend": "correct",
    "mends": "corrects",
    "mended": "corrected",
    "honest": "calibrated",
    "honesty": "calibration",
    "twin": "near_duplicate",
    "twins": "near_duplicates",
    "surest": "most_confident",
    "told": "reported",
    "held": "validation",
}
ALLOWED_NAMES = [r"not_?found", r"held_?out"]

_PROSE = [(re.compile(rf"\b{pattern.replace(' ', chr(92) + 's+')}", re.IGNORECASE), say) for pattern, say in PROSE]
_ALLOWED = re.compile("|".join(allowed.replace(" ", r"\s+") for allowed in ALLOWED))
_ALLOWED_NAMES = re.compile("|".join(ALLOWED_NAMES), re.IGNORECASE)


def refused_prose(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield the offset of each refused phrase, the phrase, and what to say."""
    text = _ALLOWED.sub(lambda match: re.sub(r"\S", "\x00", match.group()), text)
    for pattern, say in _PROSE:
        for match in pattern.finditer(text):
            yield match.start(), " ".join(match.group().split()), say


def refused_name(name: str) -> str:
    """Return what to say for the refused part of an identifier; "" where it has none."""
    parts = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", _ALLOWED_NAMES.sub("", name))
    return next((NAMES[part.lower()] for part in parts if part.lower() in NAMES), "")


def python_hits(source: str) -> Iterator[tuple[int, str, str]]:
    """Yield line, phrase and advice for the strings, comments and identifiers of Python source."""
    comments: list[tuple[int, str]] = []
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        line = token.start[0]
        if token.type == tokenize.COMMENT:
            if comments and line == comments[-1][0] + 1:
                comments[-1] = (line, f"{comments[-1][1]} {token.string.lstrip('#')}")
            else:
                comments.append((line, token.string))
        elif token.type == tokenize.NAME and (say := refused_name(token.string)):
            yield line, token.string, say
        elif token.type == tokenize.STRING or tokenize.tok_name[token.type] == "FSTRING_MIDDLE":
            for offset, phrase, say in refused_prose(token.string):
                yield line + token.string.count("\n", 0, offset), phrase, say
    for line, text in comments:
        for _, phrase, say in refused_prose(text):
            yield line, phrase, say


def text_hits(text: str, markdown: bool) -> Iterator[tuple[int, str, str]]:
    """Yield line, phrase and advice for other text; code (but not a ```text block) and links in Markdown are blank."""
    if markdown:
        text = re.sub(r"^ *```(?!text$)\w+\n.*?^ *```$", _blank, text, flags=re.MULTILINE | re.DOTALL)
        text = re.sub(r"`[^`\n]+`|\]\([^)\n]+\)", _blank, text)
    for offset, phrase, say in refused_prose(text):
        yield 1 + text.count("\n", 0, offset), phrase, say


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"\S", "\x00", match.group())


def files() -> list[str]:
    """Return every file that is read, by its path in the project."""
    read = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").rglob("*.md")]
    for suffix in (".py", ".js", ".html", ".css", ".jinja", ".yaml"):
        read += (PROJECT / "src").rglob(f"*{suffix}")
    paths = sorted(path.relative_to(PROJECT).as_posix() for path in read)
    return [path for path in paths if not path.startswith((*HISTORY, *GENERATED))]


@pytest.mark.parametrize("path", files())
def test_the_words_are_the_fields(path: str) -> None:
    text = (PROJECT / path).read_text(encoding="utf-8")
    hits = python_hits(text) if path.endswith(".py") else text_hits(text, markdown=path.endswith(".md"))
    lines = [f'{path}:{line}: "{phrase}"; say: {say}' for line, phrase, say in sorted(set(hits))]
    assert not lines, "\n" + "\n".join(lines)


@pytest.mark.parametrize(
    "text",
    [
        "the place of each row's label", "two\n    places", "Mended words", "an honest probability", "near-twins",
        "the surest errors", "told each point", "'x' is no kind of noise", "The labels are no set.",
        "The device is not there.", "the names that the folder has not.", "the row id stands twice",
        "rows of unlike lengths", "a dict a row", "with a name a line", "one JSON object a question",
        "For each kind of noise a row a level", "an example a label", "questions a second", "milliseconds a token",
        "seconds a question", "drawn anew each epoch", "measured on the held rows",
    ],
)  # fmt: skip
def test_a_refused_phrase_is_seen(text: str) -> None:
    assert list(refused_prose(text))


@pytest.mark.parametrize(
    "text",
    [
        "which rows an epoch puts into a batch", "asks a second question", "one question inside a batch",
        "in place of the reference's wording", "a report takes the place of an earlier one", "replace the placeholder",
        "to three decimal places", "place-items: center", "not found", "found by hiding words", "held-out sources",
        "the rows that were held out", "There is no pad token.", "which is no longer read", "is no more than chance",
        "authority to place orders", "shows another in its place", "Without an id column a row's id is its index",
        "one batch at a time", "a row and a column", "reads a label as a question",
        "the whole of a question a second time", "unlike the other",
        "a question of a file", "they can be told apart", "has not been trained", "enhance",
    ],
)  # fmt: skip
def test_plain_english_is_left_alone(text: str) -> None:
    assert not list(refused_prose(text))


def test_identifiers_comments_and_docstrings_are_read() -> None:
    source = '"""Some\nplaces."""\nfound = 1  # so\n# a row a\n# level\nmy_twins = NotFound, held_out, replace\n'
    hits = {(line, phrase) for line, phrase, _ in python_hits(source)}
    assert hits == {(2, "places"), (3, "found"), (5, "a row a level"), (6, "my_twins")}
