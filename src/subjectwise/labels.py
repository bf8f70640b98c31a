"""The label set: names, their order, how each is spelled as an answer. Knows nothing about tokens."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from subjectwise.errors import DataError

if TYPE_CHECKING:
    import yaml

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
            first = seen.get(fold_label(name))
            if first == name:
                raise DataError(f"The label {name!r} is given twice; keep one of them.")
            if first is not None:
                raise DataError(f"The labels {first!r} and {name!r} differ only in case or spaces; keep one of them.")
            seen[fold_label(name)] = name
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
            meant = f"; did you mean {nearest!r}?" if (nearest := self.nearest(name)) else "."
            raise DataError(f"{name!r} is not one of the labels: {', '.join(self.names)}{meant}") from None

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
        import yaml

        try:
            text = Path(path).read_text(encoding="utf-8")
            content: object = yaml.safe_load(text)
            root: Any = yaml.compose(text, Loader=yaml.SafeLoader)
        except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
            raise DataError(f"Cannot read the labels in {path}: {' '.join(str(error).split())}") from error
        if isinstance(content, dict):
            _check_keys(content, ("labels",), str(path))
            content = content.get("labels")
            root = next((value for key, value in root.value if key.value == "labels"), None)
        if not isinstance(content, (list, dict)):
            raise DataError(f"{path} must have a list of label names, or 'labels:' with one name per line.")
        _check_names(root, str(path))
        if isinstance(content, list):
            return cls(tuple(content))
        known = {name: _read_label(about, f"{path}, label {name!r}") for name, about in content.items()}
        return cls(
            tuple(known),
            {name: description for name, (description, _) in known.items() if description},
            {name: examples for name, (_, examples) in known.items() if examples},
        )

    def nearest(self, name: str) -> str:
        """Return the label that was probably meant by the unknown `name`; "" where none is similar."""
        folded = {fold_label(known): known for known in self.names}
        close = get_close_matches(fold_label(name), folded, n=1)
        return folded[close[0]] if close else ""


_YAML_KINDS = {"bool": "true or false", "int": "a number", "float": "a number", "timestamp": "a date"}


def _check_names(node: yaml.Node, location: str) -> None:
    """Raise DataError where an item of a list, or a key of a mapping, is not text or occurs twice."""
    import yaml

    names = [item[0] if isinstance(item, tuple) else item for item in node.value]
    for number, name in enumerate(names, start=1):
        where = f"{location}, entry {number}"
        if isinstance(name, yaml.MappingNode) and len(name.value) == 1:
            text = ": ".join(str(part.value) for part in name.value[0])
            raise DataError(
                f'{where}: YAML reads {text} as a mapping; put it in quotes: "{text}". To describe labels, write '
                "'labels:' and below it one 'name: description' per line, without dashes."
            )
        kind = name.tag.rpartition(":")[2]
        if not isinstance(name, yaml.ScalarNode):
            raise DataError(f"{where}: a label must be text and not a list or mapping; put it in quotes.")
        if kind == "null":
            raise DataError(
                f"{where} is empty; write the name of a label, in quotes where it is {name.value or 'null'}."
            )
        if kind != "str":
            raise DataError(
                f'{where}: YAML reads {name.value} as {_YAML_KINDS.get(kind, kind)}; put it in quotes: "{name.value}".'
            )
        if name.value in [other.value for other in names[: number - 1]]:
            raise DataError(f"{where}: the label {name.value!r} is given twice; keep one of them.")


def _read_label(about: object, location: str) -> tuple[str, tuple[str, ...]]:
    """Return the description and the examples of one label; "" and () where they are not given."""
    if about is None or isinstance(about, str):
        return " ".join((about or "").split()), ()
    if not isinstance(about, dict):
        raise DataError(f"{location} must have a description (in quotes), or 'description' and 'examples'.")
    _check_keys(about, ("description", "examples"), location)
    description, examples = about.get("description") or "", about.get("examples") or []
    if not isinstance(description, str):
        raise DataError(f"{location}: the description must be text; put it in quotes.")
    if not isinstance(examples, list) or not all(isinstance(text, str) and text.strip() for text in examples):
        raise DataError(f"{location}: the examples must be a list of texts; put each in quotes.")
    return " ".join(description.split()), tuple(" ".join(text.split()) for text in examples)


def _check_keys(content: Mapping[object, object], known: tuple[str, ...], location: str) -> None:
    if unknown := sorted(set(map(str, content)) - set(known)):
        wanted = " and ".join(map(repr, known))
        raise DataError(f"{location} has the unknown key {unknown[0]!r}; the known keys are {wanted}.")
