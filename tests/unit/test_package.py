"""The package's root: what can be imported from it, and that importing it waits for no library."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import subjectwise

SCRIPT = """
import json, sys
before = set(sys.modules)
import subjectwise
subjectwise.Prediction, subjectwise.Question, subjectwise.SubjectwiseError
print(json.dumps(sorted({name.partition(".")[0] for name in set(sys.modules) - before})))
"""


def test_every_public_name_is_there() -> None:
    for name in subjectwise.__all__:
        assert getattr(subjectwise, name) is not None
        assert name in dir(subjectwise)
    assert subjectwise.Classifier.__module__ == "subjectwise.classifier"
    assert issubclass(subjectwise.QuestionError, subjectwise.SubjectwiseError)
    with pytest.raises(AttributeError, match="no attribute 'Classifer'"):
        subjectwise.Classifer  # noqa: B018


def test_records_need_no_heavy_library() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    loaded = set(json.loads(done.stdout))
    heavy = {"torch", "transformers", "openvino", "tokenizers", "pandas", "sklearn", "jinja2", "huggingface_hub"}
    assert "subjectwise" in loaded and not heavy & loaded
