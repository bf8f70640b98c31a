"""The reason in a sentence, "This is physics because ...", written by the base model without its adapter.

It is the model's guess at a reason, not a trace of the decision: the evidence is that.
"""

from __future__ import annotations

from collections.abc import Sequence

from subjectwise.engines.generation import Generator, continue_greedily
from subjectwise.labels import fold_label
from subjectwise.records import Explanation
from subjectwise.types import Tokenizer

MAX_TOKENS = 40

# Characters of a question in the prompt.
_MOST_CHARACTERS = 600

# Evidence of more words than these is a run, too long to name.
_MOST_WORDS = 3

# What may follow a full stop: nothing, a space, or the markup with which a model begins something else.
_AFTER_A_SENTENCE = ("", *" *#<[|")

_SHOTS = (
    (
        "How do neurons transmit signals?",
        "biology",
        "neurons, signals",
        "neurons are cells, and how they pass on signals is part of how a living body works.",
    ),
    (
        "What does a tenant owe when the lease ends early?",
        "law",
        "tenant, lease",
        "a lease is a contract, and it asks what a tenant is bound to under it.",
    ),
    (
        "My parcel says delivered but nothing came",
        "delivery",
        "parcel, delivered",
        "the parcel was sent and has not arrived where it should.",
    ),
)


class SentenceWriter:
    """Writes the sentence with a language model and its tokenizer. Greedy, so that it is the same each time."""

    def __init__(self, generator: Generator, tokenizer: Tokenizer) -> None:
        self._generator, self._tokenizer = generator, tokenizer

    def write(self, explanation: Explanation, labels: Sequence[str]) -> str:
        """Write one sentence for `explanation` that names none of the other `labels`.

        Where the model writes nothing of use, or names another label all the same, the sentence lists the evidence.
        """
        words = [item.text for item in explanation.strongest(8) if len(item.text.split()) <= _MOST_WORDS][:3]
        start = f"This is {explanation.label} because"
        others = [label for label in labels if label != explanation.label]
        reason = _first_sentence(self._continue(_prompt(explanation, words) + start, others))
        if len(reason.split()) < 3 or _names_any(reason, others, explanation.label):
            return f"{start} of {_listed(words)}."
        return f"{start} {reason}"

    def _continue(self, prompt: str, forbidden: Sequence[str]) -> str:
        spellings = {f"{space}{name}" for label in forbidden for name in (label, label.capitalize()) for space in " ("}
        banned = self._tokenizer(sorted(spellings), add_special_tokens=False)["input_ids"] if spellings else []

        def stop(written: list[int]) -> bool:
            return written[-1] == self._tokenizer.eos_token_id or "\n" in self._tokenizer.decode(written)

        written = continue_greedily(
            self._generator,
            self._tokenizer(prompt)["input_ids"],
            MAX_TOKENS,
            stop,
            banned=[ids for ids in banned if ids],
            no_repeat=4,  # small models repeat themselves
        )
        return self._tokenizer.decode(written, skip_special_tokens=True)


def _prompt(explanation: Explanation, words: Sequence[str]) -> str:
    shots = [
        _shot(question, label, hints) + f"This is {label} because {why}\n" for question, label, hints, why in _SHOTS
    ]
    question = " ".join(explanation.question.split())
    if len(question) > _MOST_CHARACTERS:
        question = question[: _MOST_CHARACTERS // 2] + " ... " + question[-_MOST_CHARACTERS // 2 :]
    return "\n".join([*shots, _shot(question, explanation.label, ", ".join(words))])


def _shot(question: str, label: str, words: str) -> str:
    return f"Question: {question}\nSubject: {label}\nTelling words: {words}\nReason: "


def _first_sentence(text: str) -> str:
    """Return the first sentence of `text`, closed with a full stop where it was cut off at the last token."""
    line = text.strip().split("\n", 1)[0]
    end = next((i for i in range(len(line)) if line[i] in ".!?" and line[i + 1 : i + 2] in _AFTER_A_SENTENCE), -1)
    if end >= 0:
        return line[: end + 1]
    return line.rstrip(" ,;:") + "." if line else ""


def _names_any(text: str, labels: Sequence[str], own: str) -> bool:
    """Return whether `text` has one of `labels` as words; the words of the own label do not count."""
    padded = "".join(character if character.isalnum() else " " for character in fold_label(text))
    padded = f" {' '.join(padded.split())} ".replace(f" {fold_label(own)} ", " ")
    return any(f" {fold_label(label)} " in padded for label in labels)


def _listed(words: Sequence[str]) -> str:
    """Return the words in quotes, as a sentence lists them."""
    quoted = [f'"{word}"' for word in words]
    if not quoted:
        return "the question as a whole"
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} and {quoted[-1]}"
