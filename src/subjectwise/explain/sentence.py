"""The reason in a sentence, "This is physics because ...", written by the base, or by an adapter trained for it.

It is the model's guess at a reason, not a trace of the decision: the evidence is that.
"""

from __future__ import annotations

from collections.abc import Sequence

from subjectwise.engines.generation import Generator, continue_greedily
from subjectwise.explain.sentence_prompt import base_prompt, sentence_start, telling_words, trained_prompt
from subjectwise.labels import fold_label
from subjectwise.records import Explanation
from subjectwise.types import Tokenizer

MAX_TOKENS = 40

# What may follow a full stop: nothing, a space, or the markup with which a model begins something else.
_AFTER_A_SENTENCE = ("", *" *#<[|")


class SentenceWriter:
    """Writes the sentence with a language model. Greedy, so that it is the same each time.

    Args:
        generator: the base, or the base with an adapter that was trained to write sentences.
        tokenizer: of the base.
        trained: whether it has that adapter, which reads no examples.
    """

    def __init__(self, generator: Generator, tokenizer: Tokenizer, trained: bool = False) -> None:
        self._generator, self._tokenizer = generator, tokenizer
        self._prompt = trained_prompt if trained else base_prompt

    def write(self, explanation: Explanation, labels: Sequence[str]) -> str:
        """Write one sentence for `explanation` that names none of the other `labels`.

        Where the model writes nothing of use, or names another label all the same, the sentence lists the evidence.
        """
        words = telling_words(explanation)
        start = sentence_start(explanation.label)
        others = [label for label in labels if label != explanation.label]
        reason = _first_sentence(self._continue(self._prompt(explanation, words) + start, others))
        if len(reason.split()) < 3 or names_any(reason, others, explanation.label):
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


def _first_sentence(text: str) -> str:
    """Return the first sentence of `text`, closed with a full stop where it was cut off at the last token."""
    line = text.strip().split("\n", 1)[0]
    end = next((i for i in range(len(line)) if line[i] in ".!?" and line[i + 1 : i + 2] in _AFTER_A_SENTENCE), -1)
    if end >= 0:
        return line[: end + 1]
    return line.rstrip(" ,;:") + "." if line else ""


def names_any(text: str, labels: Sequence[str], own: str) -> bool:
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
