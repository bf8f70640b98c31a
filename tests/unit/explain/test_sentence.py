"""The sentence names no other label, ends where a sentence ends, and is the same each time."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import pytest

from subjectwise.engines.generation import NextToken
from subjectwise.explain.sentence import MAX_TOKENS, SentenceWriter
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

    eos_token_id = 0

    def __call__(self, text: Any, **options: Any) -> dict[str, Any]:
        ids = [ord(c) for c in text] if isinstance(text, str) else [[ord(c) for c in one] for one in text]
        return {"input_ids": ids}

    def decode(self, ids: Sequence[int], **options: Any) -> str:
        return "".join(map(chr, ids)).replace("\0", "")


class FakeGenerator:
    """Writes a text and then ends; keeps what it read, and what was excluded at each token."""

    def __init__(self, text: str) -> None:
        self._text = text
        self.read: list[int] = []
        self.excluded: list[set[int]] = []

    def next_token(self) -> NextToken:
        rest = iter([*map(ord, self._text), 0])

        def following(ids: Sequence[int], excluded: Collection[int]) -> int:
            self.read.extend(ids)
            self.excluded.append(set(excluded))
            return next(rest)

        return following


def writer_that_continues(text: str, generator: FakeGenerator | None = None) -> SentenceWriter:
    tokenizer: Any = FakeTokenizer()
    return SentenceWriter(generator or FakeGenerator(text), tokenizer)


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


def test_other_labels_are_forbidden() -> None:
    generator = FakeGenerator(" it turns (la")
    writer_that_continues("", generator).write(EXPLANATION, LABELS)
    prompt = "".join(map(chr, generator.read))
    assert "This is physics because it turns" in prompt
    assert "Telling words: torque, wheel" in prompt
    # After "(la" no "w" may come, and after " p" an "h" may: physics is the own label.
    assert ord("w") in generator.excluded[-1] and ord("w") not in generator.excluded[0]
    other = FakeGenerator(" a p")
    writer_that_continues("", other).write(EXPLANATION, LABELS)
    assert ord("h") not in other.excluded[-1]


def test_it_stops_at_a_line_break_and_after_forty_tokens() -> None:
    generator = FakeGenerator(" it turns.\nMore")
    writer_that_continues("", generator).write(EXPLANATION, LABELS)
    assert len(generator.excluded) == len(" it turns.\n")
    generator = FakeGenerator(" " + "abcdefghi " * 9)
    writer_that_continues("", generator).write(EXPLANATION, LABELS)
    assert len(generator.excluded) == MAX_TOKENS
