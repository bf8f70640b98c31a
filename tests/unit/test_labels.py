"""Label sets: order, names that are refused, and the YAML file."""

from pathlib import Path

import pytest

from helpers.faults import FAULTS
from subjectwise.errors import DataError
from subjectwise.labels import LabelSet


def test_answers_begin_with_a_space_and_order_is_kept() -> None:
    labels = LabelSet(("physics", "computer science"))
    assert [labels.answer(name) for name in labels] == [" physics", " computer science"]
    assert labels.index("computer science") == 1
    assert LabelSet.from_names(["b", "a", "b"]).names == ("a", "b")


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (("law",), "at least two"),
        (("law", " "), "empty"),
        (("law", "a\nb"), "line break"),
        (("law", "law"), "'law' is given twice"),
        (("Law", "law"), "differ only in case or spaces"),
        (("computer  science", "Computer science"), "differ only in case or spaces"),
    ],
)
def test_bad_sets_are_refused(names: tuple[str, ...], part: str) -> None:
    with pytest.raises(DataError, match=part):
        LabelSet(names)


def test_unknown_label_is_named() -> None:
    with pytest.raises(DataError, match="'art' is not one of the labels: law, math.$"):
        LabelSet(("law", "math")).index("art")


@pytest.mark.parametrize(
    ("name", "meant"), [("Biology", "biology"), (" biolgy", "biology"), ("Maths", "Math"), ("x", "")]
)
def test_the_label_that_was_meant(name: str, meant: str) -> None:
    labels = LabelSet(("biology", "Math"))
    assert labels.nearest(name) == meant
    if meant:
        with pytest.raises(DataError, match=f"did you mean '{meant}'"):
            labels.index(name)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ((FAULTS / "y_no.yaml").read_text(), 'entry 1: YAML reads yes as true or false; put it in quotes: "yes"'),
        ("- a\n- no\n", 'entry 2: YAML reads no as true or false; put it in quotes: "no"'),
        ((FAULTS / "y_colon.yaml").read_text(), "entry 1: YAML reads law: about courts as a mapping; put it in quotes"),
        ("labels:\n  no: x\n  b: y\n", 'entry 1: YAML reads no as true or false; put it in quotes: "no"'),
        ("- 2024-01-01\n- a\n", 'entry 1: YAML reads 2024-01-01 as a date; put it in quotes: "2024-01-01"'),
        ("- 1.5\n- a\n", 'entry 1: YAML reads 1.5 as a number; put it in quotes: "1.5"'),
        ("-\n- a\n", "entry 1 is empty"),
        ("- [a]\n- b\n", "entry 1: a label must be text and not a list or mapping; put it in quotes"),
        ("labels:\n  a: x\n  b: y\n  a: z\n", "entry 3: the label 'a' is given twice"),
        ("labels:\n  a: no\n  b: y\n", r"label 'a' must have a description \(in quotes\)"),
    ],
)
def test_names_that_yaml_reads_as_something_else(tmp_path: Path, text: str, part: str) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=part):
        LabelSet.from_yaml(path)


def test_yaml(tmp_path: Path) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text("labels:\n  refund: money back\n  delivery:\n", encoding="utf-8")
    labels = LabelSet.from_yaml(path)
    assert labels.names == ("refund", "delivery")
    assert dict(labels.descriptions) == {"refund": "money back"}
    path.write_text("[refund, delivery]", encoding="utf-8")
    assert LabelSet.from_yaml(path).names == ("refund", "delivery")


@pytest.mark.parametrize("text", ["labels: [a, b]\nlabel: 1", "a: b", "3", "[1, 2]", "[a, b"])
def test_bad_yaml_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "labels.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(DataError):
        LabelSet.from_yaml(path)


def test_descriptions_and_examples_are_read(tmp_path: Path) -> None:
    file = tmp_path / "labels.yaml"
    file.write_text(
        "labels:\n  refund: money  back\n  delivery:\n    description: where it is\n"
        "    examples: [Where is it]\n  other:\n"
    )
    labels = LabelSet.from_yaml(file)
    assert labels.names == ("refund", "delivery", "other")
    assert labels.descriptions == {"refund": "money back", "delivery": "where it is"}
    assert labels.examples == {"delivery": ("Where is it",)}


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("labels:\n  a:\n    descripton: x\n  b:\n", "unknown key 'descripton'"),
        ("labels:\n  a: [x]\n  b:\n", "'description' and 'examples'"),
        ("labels:\n  a: {examples: text}\n  b:\n", "list of texts"),
        ("labels:\n  a: {examples: ['']}\n  b:\n", "list of texts"),
        ("labels:\n  a: {description: 3}\n  b:\n", "must be text"),
        ("labels:\n  1: x\n  b:\n", "YAML reads 1 as a number; put it in quotes"),
        ("labels:\n  Refund: x\n  refund: y\n", "differ only in case or spaces"),
    ],
)
def test_bad_descriptions_are_refused(tmp_path: Path, text: str, part: str) -> None:
    file = tmp_path / "labels.yaml"
    file.write_text(text)
    with pytest.raises(DataError, match=part):
        LabelSet.from_yaml(file)
