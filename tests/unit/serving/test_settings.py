from __future__ import annotations

from typing import Any

import pytest

from subjectwise.errors import SubjectwiseError
from subjectwise.serving.limits import Limits
from subjectwise.serving.settings import ServerSettings


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"limits": Limits(deadline=0)}, "--deadline is 0"),
        ({"limits": Limits(waiting=0)}, "--max-waiting is 0"),
        ({"api_keys": ("short",)}, "at least 8 characters"),
        ({"api_keys": ("long-enough", "two words long")}, "without spaces"),
        ({"api_keys": ("schlüssel-lang",)}, "ASCII"),
        ({"api_keys": ("a-key\x07-of-some-length",)}, "ASCII"),
    ],
)
def test_what_cannot_be_served_is_one_sentence(changes: dict[str, Any], part: str) -> None:
    with pytest.raises(SubjectwiseError, match=part):
        ServerSettings(**changes)


def test_a_request_fits_into_the_queue() -> None:
    assert ServerSettings().most_questions == 128
    assert ServerSettings(limits=Limits(waiting=5)).most_questions == 5
