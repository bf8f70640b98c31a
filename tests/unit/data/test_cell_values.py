from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pandas
import pytest

from subjectwise.data.cell_values import is_missing, read_name, read_options, read_question
from subjectwise.errors import DataError, QuestionError
from subjectwise.records import Question


@pytest.mark.parametrize("value", [None, float("nan"), "nan", "NaN", "<NA>"])
def test_missing_values(value: object) -> None:
    assert is_missing(value)
    assert read_name(value, "label") == ""
    assert read_options(value) == ()
    with pytest.raises(QuestionError, match="The question is missing"):
        read_question(value)


@pytest.mark.parametrize("value", ["", "NA", "null", "None", 0, 0.0, False, [], {}])
def test_what_is_not_missing(value: object) -> None:
    assert not is_missing(value)


@pytest.mark.parametrize(
    ("value", "name"),
    [
        (1, "1"), (1.0, "1"), (-3.0, "-3"), (1.5, "1.5"), (True, "True"), (" law ", "law"), ("a\x0cb", "a b"),
        (2**60, str(2**60)), (1e300, "1e+300"), (float("inf"), "inf"), ("1.0", "1.0"),
    ],
)  # fmt: skip
def test_names_are_text_and_whole_numbers_stay_whole(value: object, name: str) -> None:
    assert read_name(value, "label") == name


@pytest.mark.parametrize(
    ("value", "kind"),
    [({"text": "a"}, "an object"), (["a"], "a list"), (b"a", "bytes"), (3, "a number"), (True, "true")],
)
def test_a_question_is_text(value: object, kind: str) -> None:
    with pytest.raises(QuestionError, match=f"A question must be text, not {kind}"):
        read_question(value)


@pytest.mark.parametrize(("value", "kind"), [({"text": "a"}, "an object"), (["a"], "a list"), (b"a", "bytes")])
def test_a_label_is_text_or_a_number(value: object, kind: str) -> None:
    with pytest.raises(DataError, match=f"the label must be text or a number, not {kind}"):
        read_name(value, "label")


def test_a_question_with_options() -> None:
    assert read_question("What?", ["a", 2]) == Question("What?", ("a", "2"))
    assert read_question("What?", '["a", "b"]') == Question("What?", ("a", "b"))


@pytest.mark.parametrize(
    ("text", "options"),
    [
        ('["a", "b"]', ("a", "b")),
        ("['red', 'green']", ("red", "green")),
        ("""['it\\'s', "say \\"so\\"", 'a, b']""", ("it's", 'say "so"', "a, b")),
        ("('red', 'green')", ("red", "green")),
        ("[1, 2.5, None, True]", ("1", "2.5", "True")),
        ('[1, 2.5, null, "x"]', ("1", "2.5", "x")),
        ("[]", ()),
        ("['red' 'green'\n 'blue']", ("red", "green", "blue")),
        ("""["it's" 'so']""", ("it's", "so")),
    ],
)
def test_lists_as_json_python_and_numpy_write_them(text: str, options: tuple[str, ...]) -> None:
    assert read_options(text) == options


@pytest.mark.parametrize("items", [["red", "green"], ["it's", 'a "b"'], ["a\nb", "é"], ["", "x"], ["a, b", "'"]])
@pytest.mark.parametrize("as_array", [False, True])
def test_lists_as_pandas_writes_them(items: Sequence[str], as_array: bool) -> None:
    value = np.array(items) if as_array else items
    frame = pandas.DataFrame({"choices": pandas.Series([value], dtype=object)})
    cell = frame.to_csv(index=False, header=False)
    [row] = pandas.read_csv(io.StringIO(cell), header=None)[0]
    assert read_options(row) == tuple(items)


@pytest.mark.parametrize("value", ["a;b", '"a"', "red, green", "[red, green]", "['a'", "{'a': 1}", "open('x')"])
def test_text_that_is_not_a_list_is_refused(value: str) -> None:
    with pytest.raises(DataError, match="the options are not a list"):
        read_options(value)


def test_an_option_may_be_the_text_nan() -> None:
    assert read_options(["nan", None, "b", float("nan")]) == ("nan", "b")


def test_options_of_another_kind_are_refused() -> None:
    with pytest.raises(DataError, match="the options must be a list, not a number"):
        read_options(3)
    with pytest.raises(DataError, match="the options must be a list, not an object"):
        read_options({"text": ["a"], "label": ["A"]})
    with pytest.raises(DataError, match="an option must be text or a number, not an object"):
        read_options([{"text": "a"}])
