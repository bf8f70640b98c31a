"""The wording of the prompt and the boundary between its tokens. No other module knows either.

A prompt is `prefix_ids`, the same for every question, and `row_ids`, the question and what follows it. Tokenizers
merge characters across a seam, so the prefix ends just before a space or a line break, at a place where
tokenizing the two parts gives the same ids as tokenizing the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from subjectwise.errors import BaseModelError
from subjectwise.labels import LabelSet
from subjectwise.recipe import PromptSettings
from subjectwise.records import Question
from subjectwise.spelling import Speller

QUESTION_SLOT = "{question}"

_PLAIN = """You are an expert academic classifier. Classify the following question into exactly ONE category. \
Respond with ONLY the category name.

Categories: {labels}

{examples}Now classify this question:
Q: {question}
A:"""

# For labels of any kind, which may be described.
_OWN = """Classify the following text into exactly ONE category. Respond with ONLY the category name.

Categories:
{labels}

{examples}Now classify this text:
Q: {question}
A:"""

# The reference's own three, shown where the label set has those labels.
_SHOTS = (
    ("What is the optimal capital structure for a corporation?", "business"),
    ("How do neurons transmit signals?", "biology"),
    ("What are the principles of contract law?", "law"),
)

_BARE = "Q: {question}\nA:"

# Texts that try the seam: a capital, a digit, a bracket, a quotation mark, a formula, a letter of another script.
_SEAM_PROBES = ("What is it?", "42 is", "(a) x", '"So', "$x^2$", "\u00e9t\u00e9", "\u5149\u901f", "... and", "a")


def instruction_template(
    style: str, labels: LabelSet, shots: Sequence[tuple[str, str]] | None = None, described: bool = False
) -> str:
    """The template of `style` with `{question}` left open, before any chat template.

    Args:
        shots: questions and their labels that it shows; None for the reference's own.
        described: for labels of any kind, listed a line each with their descriptions, in place of the reference's.
    """
    if style == "bare":
        return _BARE
    known = [shot for shot in _SHOTS if shot[1] in labels.names] if shots is None else shots
    shown = [f"Q: {text.replace(QUESTION_SLOT, '')}\nA: {label}\n" for text, label in known]
    examples = "Examples:\n" + "\n".join(shown) + "\n" if shown else ""
    if not described:
        return _PLAIN.replace("{labels}", ", ".join(labels)).replace("{examples}", examples)
    lines = [
        f"- {name}: {labels.descriptions[name]}" if name in labels.descriptions else f"- {name}" for name in labels
    ]
    listed = "\n".join(lines).replace(QUESTION_SLOT, "")
    return _OWN.replace("{examples}", examples).replace("{labels}", listed)


@dataclass(frozen=True)
class EncodedExample:
    """Token ids of a prompt without its prefix, and of the label that follows it."""

    row_ids: list[int]
    label_ids: list[int]
    end_ids: list[int]


class Prompt:
    """Turns questions into token ids for one tokenizer, label set and style.

    Args:
        shots, described: as for `instruction_template`.
        words: how many training rows have each word, where mistyped words are mended (`count_words`).

    Attributes:
        prefix: the text before the seam, as it is saved with the model.
        prefix_ids: its token ids, with the tokenizer's own beginning-of-text token where it has one.
        label_ids: token ids of each label as an answer, in label order.
        end_ids: the end-of-answer token, at most one.
    """

    def __init__(
        self,
        tokenizer: Any,
        labels: LabelSet,
        settings: PromptSettings,
        shots: Sequence[tuple[str, str]] | None = None,
        described: bool = False,
        words: Mapping[str, int] | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.labels = labels
        self.settings = settings
        self._shots, self._described = shots, described
        self._speller = Speller(settings.spelling, words or {}) if settings.mends else None
        self._start = self._start_ids()
        head, self._suffix = self._rendered().split(QUESTION_SLOT)
        self.prefix, self._lead = self._find_seam(head)
        self.prefix_ids: list[int] = self._ids(self.prefix, start=True) if self.prefix else []
        self._whole = not self._seam_holds(self.prefix, self._lead)
        self.label_ids = self._find_label_ids()
        end = tokenizer.eos_token_id
        self.end_ids: list[int] = [] if end is None else [int(end)]

    def encode_question(self, question: Question, with_options: bool | None = None) -> list[int]:
        """Row ids of `question`. A row over `max_tokens` loses its middle; the template's end always stays."""
        return self.encode_questions([question], with_options)[0]

    def encode_questions(self, questions: Sequence[Question], with_options: bool | None = None) -> list[list[int]]:
        """Row ids of each question; `with_options` overrides the saved setting."""
        shown = self.settings.with_options if with_options is None else with_options
        texts = [self._lead + self._text(question, shown) + self._suffix for question in questions]
        rows = self._batch_ids(texts)
        return [cut_middle(row, self.settings.max_tokens) for row in rows]

    def encode_example(self, question: Question, label: str, with_options: bool | None = None) -> EncodedExample:
        """`encode_question`, and the ids of the label and of the end of the answer."""
        return EncodedExample(
            self.encode_question(question, with_options), self.label_ids[self.labels.index(label)], self.end_ids
        )

    def render(self, question: Question, with_options: bool | None = None) -> str:
        """The whole prompt as text, uncut: what a user of `generate` would pass to the tokenizer."""
        shown = self.settings.with_options if with_options is None else with_options
        return self.prefix + self._lead + self._text(question, shown) + self._suffix

    def _text(self, question: Question, with_options: bool) -> str:
        return question_text(question, with_options, self._speller)

    def _rendered(self) -> str:
        """The whole prompt with the question's slot open, chat template applied."""
        template = instruction_template(self.settings.style, self.labels, self._shots, self._described)
        if self.settings.style != "chat":
            return template
        if not getattr(self.tokenizer, "chat_template", None):
            raise BaseModelError("This base has no chat template; use --set prompt.style=plain or bare.")
        turn = [{"role": "user", "content": template}]
        rendered = self.tokenizer.apply_chat_template(
            turn, tokenize=False, add_generation_prompt=True, enable_thinking=False
        )
        # Tokenizers that add a beginning-of-text token would add it a second time to a chat that shows it.
        bos = self.tokenizer.bos_token
        if self._start and bos and rendered.startswith(bos):
            rendered = rendered[len(bos) :]
        if rendered.count(QUESTION_SLOT) != 1:
            raise BaseModelError("This base's chat template changes the prompt; use --set prompt.style=plain or bare.")
        return str(rendered)

    def _find_seam(self, head: str) -> tuple[str, str]:
        """`head` cut in two: the prefix, and the lead that is tokenized with each question."""
        cuts = [place for place in range(len(head) - 1, 0, -1) if head[place] in " \n" and head[place - 1] not in " \n"]
        for cut in cuts[:8]:
            if self._seam_holds(head[:cut], head[cut:]):
                return head[:cut], head[cut:]
        # A tokenizer that marks the start of every text (SentencePiece) holds at no seam: rows are cut off the whole.
        cut = cuts[0] if cuts else 0
        return head[:cut], head[cut:]

    def _seam_holds(self, prefix: str, lead: str) -> bool:
        start = self._ids(prefix, start=True)
        texts = [lead + probe + self._suffix for probe in _SEAM_PROBES]
        return all(start + self._ids(text) == self._ids(prefix + text, start=True) for text in texts)

    def _batch_ids(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        if not self._whole:
            encoded: list[list[int]] = self.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
            return encoded
        rows = [self._ids(self.prefix + text, start=True) for text in texts]
        size = len(self.prefix_ids)
        for row in rows:
            if row[:size] != self.prefix_ids:
                raise BaseModelError("This base's tokenizer merges the prompt with the question; use another base.")
        return [row[size:] for row in rows]

    def _find_label_ids(self) -> list[list[int]]:
        """Ids of each label where it follows the prompt: what the whole has beyond the prompt alone."""
        anchor = self._lead + "What is it?" + self._suffix
        alone = self._ids(self.prefix + anchor, start=True)
        found: list[list[int]] = []
        for label in self.labels:
            whole = self._ids(self.prefix + anchor + self.labels.answer(label), start=True)
            if whole[: len(alone)] != alone or len(whole) == len(alone):
                raise BaseModelError(f"This base's tokenizer merges the label {label!r} with the prompt.")
            found.append(whole[len(alone) :])
        return found

    def _ids(self, text: str, start: bool = False) -> list[int]:
        """Token ids of `text`; at the `start` of a prompt with the special tokens that the tokenizer puts there."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return self._start + ids if start else ids

    def _start_ids(self) -> list[int]:
        """The tokenizer's beginning-of-text token, where it adds one to ordinary text."""
        with_special: list[int] = self.tokenizer("a", verbose=False)["input_ids"]
        bos = self.tokenizer.bos_token_id
        return [bos] if bos is not None and with_special[:1] == [bos] else []


def cut_middle(row: list[int], limit: int) -> list[int]:
    """The row, without the middle of it where it has more than `limit` tokens."""
    kept = limit // 2
    return row if len(row) <= limit else row[:kept] + row[len(row) - (limit - kept) :]


def question_text(question: Question, with_options: bool, speller: Speller | None = None) -> str:
    """The question, and its options one a line after a dash where they are shown.

    Four words and more in capitals throughout are read in lower case: bases know few words in capitals. Where there is
    a `speller`, it mends the question; options, which are often names and formulas, stay as they are.
    """
    text = _without_capitals(question.text)
    texts = [speller.mend(text) if speller else text]
    if with_options:
        texts += [_without_capitals(f"- {option}") for option in question.options]
    return "\n".join(texts)


def _without_capitals(text: str) -> str:
    return text.lower() if text.isupper() and len(text.split()) > 3 else text
