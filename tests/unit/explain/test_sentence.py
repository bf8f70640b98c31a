"""The sentence names no other label, ends where a sentence ends, and is the same each time."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from subjectwise.explain.sentence import SentenceWriter
from subjectwise.records import Evidence, Explanation

LABELS = ["math", "computer science", "law", "physics"]
EXPLANATION = Explanation(
    question="What gives a wheel its torque?",
    label="physics",
    score=0.9,
    runner_up="math",
    runner_up_score=0.05,
    evidence=(Evidence("torque", 23, 29, 2.0, -1.0), Evidence("wheel", 13, 18, 1.0, 0.0)),
)


class FakeTokenizer:
    """One token per character."""

    pad_token_id = 0

    def __call__(self, text: Any, **options: Any) -> dict[str, Any]:
        ids = [ord(c) for c in text] if isinstance(text, str) else [[ord(c) for c in one] for one in text]
        return {"input_ids": ids}

    def decode(self, ids: torch.Tensor, **options: Any) -> str:
        return "".join(map(chr, ids.tolist()))


def writer_that_continues(text: str, seen: list[dict[str, Any]] | None = None) -> SentenceWriter:
    def generate(input_ids: torch.Tensor, **options: Any) -> torch.Tensor:
        if seen is not None:
            seen.append({"prompt": FakeTokenizer().decode(input_ids[0]), **options})
        return torch.cat([input_ids, torch.tensor([[ord(c) for c in text]])], dim=1)

    model: Any = SimpleNamespace(device=torch.device("cpu"), generate=generate)
    model.eval = lambda: model
    tokenizer: Any = FakeTokenizer()
    return SentenceWriter(model, tokenizer)


@pytest.mark.parametrize(
    ("written", "sentence"),
    [
        (" e.g it moves at 3.5 m/s. And then", "e.g it moves at 3.5 m/s."),
        (" it was cut off,", "it was cut off."),
        (" it is so.**Created Question**", "it is so."),
        (" torque is physics of a kind.\nMore", "torque is physics of a kind."),
        (" mathematics and lawful things turn it.", "mathematics and lawful things turn it."),
    ],
)
def test_the_first_sentence_is_taken(written: str, sentence: str) -> None:
    assert writer_that_continues(written).write(EXPLANATION, LABELS) == f"This is physics because {sentence}"


@pytest.mark.parametrize(
    "written", ["\n", " so.", " it asks about Computer-Science.", " that is a matter of LAW, you see."]
)
def test_the_evidence_is_listed_where_the_model_writes_nothing_of_use(written: str) -> None:
    expected = 'This is physics because of "torque" and "wheel".'
    assert writer_that_continues(written).write(EXPLANATION, LABELS) == expected
    bare = replace(EXPLANATION, evidence=())
    assert writer_that_continues(written).write(bare, LABELS).endswith("because of the question as a whole.")


def test_words_of_the_own_label_are_no_other_label() -> None:
    explanation = replace(EXPLANATION, label="computer science")
    written = writer_that_continues(" computer science it is then.").write(explanation, ["science", "computer science"])
    assert written == "This is computer science because computer science it is then."


def test_other_labels_are_forbidden_and_nothing_is_drawn() -> None:
    seen: list[dict[str, Any]] = []
    writer_that_continues(" it turns things.", seen).write(EXPLANATION, LABELS)
    (call,) = seen
    banned = {"".join(map(chr, ids)) for ids in call["bad_words_ids"]}
    assert {" law", " Law", "(law"} <= banned and not any("physics" in word for word in banned)
    assert call["do_sample"] is False and call["prompt"].endswith("This is physics because")
    assert "Telling words: torque, wheel" in call["prompt"]
