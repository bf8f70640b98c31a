"""The label set: names, their order, how each is spelled as an answer. Knows nothing about tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from subjectwise.errors import DataError

MMLU_PRO_LABELS = (
    "biology",
    "business",
    "chemistry",
    "computer science",
    "economics",
    "engineering",
    "health",
    "history",
    "law",
    "math",
    "other",
    "philosophy",
    "physics",
    "psychology",
)


def fold_label(name: str) -> str:
    """Return `name` for comparison with others: case and surrounding or repeated spaces do not count."""
    return " ".join(name.split()).casefold()


@dataclass(frozen=True)
class LabelSet:
    """An ordered set of label names, with an optional description and optional example texts for each.

    Raises:
        DataError: fewer than two names, an empty name, a name with a line break,
            or two names that are equal once case and spaces are folded.
    """

    names: tuple[str, ...]
    descriptions: Mapping[str, str] = field(default_factory=dict)
    examples: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if len(self.names) < 2:
            raise DataError(f"A label set needs at least two labels; this one has {len(self.names)}.")
        seen: dict[str, str] = {}
        for name in self.names:
            if not name.strip() or "\n" in name:
                raise DataError(f"The label {name!r} is empty or has a line break; give it a one-line name.")
            first = seen.setdefault(fold_label(name), name)
            if first is not name:
                raise DataError(f"The labels {first!r} and {name!r} differ only in case or spaces; keep one of them.")
        for what, given in (("A description", self.descriptions), ("An example", self.examples)):
            if unknown := sorted(set(given) - set(self.names)):
                raise DataError(f"{what} is given for {unknown[0]!r}, which is not one of the labels.")

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def index(self, name: str) -> int:
        """Return the index of `name`; raise DataError where it is not one of the labels."""
        try:
            return self.names.index(name)
        except ValueError:
            raise DataError(f"{name!r} is not one of the labels: {', '.join(self.names)}.") from None

    def answer(self, name: str) -> str:
        """Return `name` as the model spells it: with a leading space, so that it follows "A:" as a word does."""
        return f" {name}"

    @classmethod
    def from_names(cls, names: Iterable[str]) -> LabelSet:
        """Return the distinct `names` in alphabetical order, the order of the reference's prompt."""
        return cls(tuple(sorted(set(names))))

    @classmethod
    def from_yaml(cls, path: Path | str) -> LabelSet:
        """Read a list of names, or `labels:` with a mapping from each name to what is known of it.

        That is nothing, a description, or a mapping with `description` and `examples` (a list of texts).

        Raises:
            DataError: the file cannot be read, has another shape or an unknown key, or the labels are not distinct.
        """
        try:
            content: object = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise DataError(f"Cannot read the labels in {path}: {' '.join(str(error).split())}") from error
        if isinstance(content, dict):
            _check_keys(content, ("labels",), str(path))
            content = content.get("labels")
        if isinstance(content, list) and all(isinstance(name, str) for name in content):
            return cls(tuple(content))
        if not isinstance(content, dict) or not all(isinstance(name, str) for name in content):
            raise DataError(f"{path} must have a list of label names, or 'labels:' with one name per line.")
        known = {name: _read_label(about, f"{path}, label {name!r}") for name, about in content.items()}
        return cls(
            tuple(known),
            {name: description for name, (description, _) in known.items() if description},
            {name: examples for name, (_, examples) in known.items() if examples},
        )


def _read_label(about: object, location: str) -> tuple[str, tuple[str, ...]]:
    """Return the description and the examples of one label; "" and () where they are not given."""
    if about is None or isinstance(about, str):
        return " ".join((about or "").split()), ()
    if not isinstance(about, dict):
        raise DataError(f"{location} must have a description, or 'description' and 'examples'.")
    _check_keys(about, ("description", "examples"), location)
    description, examples = about.get("description") or "", about.get("examples") or []
    if not isinstance(description, str):
        raise DataError(f"{location}: the description must be text.")
    if not isinstance(examples, list) or not all(isinstance(text, str) and text.strip() for text in examples):
        raise DataError(f"{location}: the examples must be a list of texts.")
    return " ".join(description.split()), tuple(" ".join(text.split()) for text in examples)


def _check_keys(content: Mapping[object, object], known: tuple[str, ...], location: str) -> None:
    if unknown := sorted(set(map(str, content)) - set(known)):
        wanted = " and ".join(map(repr, known))
        raise DataError(f"{location} has the unknown key {unknown[0]!r}; the known keys are {wanted}.")
