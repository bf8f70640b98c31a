from __future__ import annotations

from subjectwise.labels import MMLU_PRO_LABELS, LabelSet
from subjectwise.serving.subject_descriptions import DESCRIPTIONS, label_descriptions


def test_every_subject_has_one() -> None:
    assert list(DESCRIPTIONS) == list(MMLU_PRO_LABELS)
    assert label_descriptions(LabelSet(MMLU_PRO_LABELS)) == DESCRIPTIONS


def test_labels_keep_their_own() -> None:
    own = LabelSet(MMLU_PRO_LABELS, {"law": "Our own."})
    assert label_descriptions(own) == DESCRIPTIONS | {"law": "Our own."}
    assert label_descriptions(LabelSet(("law", "tax"))) == {"law": "", "tax": ""}, "another set of labels"
