"""The wording of the prompt and the boundary between its tokens. No other module knows either.

A prompt is `prefix_ids`, the same for every question, and row ids, the question and what follows it. Tokenizers merge
characters across a boundary, so the prefix ends before a space or a line break where tokenizing the two parts gives the
same ids as tokenizing the whole.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from subjectwise.errors import BaseModelError
from subjectwise.labels import LabelSet
from subjectwise.recipe import PromptSettings
from subjectwise.records import EncodedQuestion, Question
from subjectwise.text.question_text import cut_row, question_text
from subjectwise.text.spelling import SpellingCorrector
from subjectwise.types import Tokenizer

QUESTION_SLOT = "{question}"

_PLAIN = """You are an expert academic classifier. Classify the following question into exactly ONE category. \
Respond with ONLY the category name.

Categories: {labels}

{examples}Now classify this question:
Q: {question}
A:"""

# For any other label set, whose labels may have descriptions.
_DESCRIBED = """Classify the following text into exactly ONE category. Respond with ONLY the category name.

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

# Texts that test the boundary: a capital, a digit, a bracket, a quotation mark, a formula, a letter of another script.
_BOUNDARY_PROBES = ("What is it?", "42 is", "(a) x", '"So', "$x^2$", "\u00e9t\u00e9", "\u5149\u901f", "... and", "a")


def instruction_template(
    style: str, labels: LabelSet, shots: Sequence[tuple[str, str]] | None = None, described: bool = False
) -> str:
    """Return the template of `style` with `{question}` left open, before any chat template.

    Args:
        style: as `prompt.style`.
        labels: which it lists.
        shots: example questions with their labels; None for the reference's own.
        described: list the labels one per line with their descriptions, in place of the reference's wording.
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
    return _DESCRIBED.replace("{examples}", examples).replace("{labels}", listed)


def label_shots(labels: LabelSet) -> list[tuple[str, str]] | None:
    """Return the labels' examples for the prompt: the first of each label, then the second …; None without any."""
    most = max(map(len, labels.examples.values()), default=0)
    shots = [
        (labels.examples[name][turn], name)
        for turn in range(most)
        for name in labels
        if turn < len(labels.examples.get(name, ()))
    ]
    return shots or None


class Prompt:
    """Encodes questions as token ids for one tokenizer, label set and style.

    Args:
        tokenizer: of the base.
        labels: of the model.
        settings: style, length and spelling correction.
        shots: example questions with their labels; None for the reference's own.
        described: list the labels with their descriptions.
        words: the training vocabulary for spelling correction (`count_words`).

    Attributes:
        prefix: the text before the boundary, as it is saved with the model.
        prefix_ids: its token ids, with the tokenizer's own beginning-of-text token where it has one.
        label_ids: token ids of each label as an answer, in label order.
        end_ids: the end-of-answer token, at most one.

    Raises:
        BaseModelError: the base has no chat template, or its tokenizer merges the prompt with what follows it.
    """

    def __init__(
        self,
        tokenizer: Tokenizer,
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
        self._corrector = SpellingCorrector(settings.spelling, words or {}) if settings.corrects_spelling else None
        self._start = self._start_ids()
        head, self._suffix = self._rendered().split(QUESTION_SLOT)
        self.prefix, self._lead = self._cut_prefix(head)
        self.prefix_ids: list[int] = self._ids(self.prefix, start=True) if self.prefix else []
        self._cuts_whole = not self._boundary_holds(self.prefix, self._lead)
        self.label_ids = self._encode_labels()
        end = tokenizer.eos_token_id
        self.end_ids: list[int] = [] if end is None else [int(end)]

    def encode(self, questions: Sequence[Question]) -> list[list[int]]:
        """Return the row ids of each question, with the options that it has.

        A row over `max_tokens` loses its middle; the end of the template always stays.
        """
        return [encoded.ids for encoded in self.encode_questions(questions)]

    def encode_questions(self, questions: Sequence[Question]) -> list[EncodedQuestion]:
        """Return what `encode` does, and whether each question was cut."""
        texts = [self._lead + question_text(question, self._corrector) + self._suffix for question in questions]
        return [cut_row(row, self.settings.max_tokens) for row in self._batch_ids(texts)]

    def render(self, question: Question) -> str:
        """Return the whole prompt as text, uncut: what a user of `generate` would pass to the tokenizer."""
        return self.prefix + self._lead + question_text(question, self._corrector) + self._suffix

    def _rendered(self) -> str:
        """Return the whole prompt with the question's slot open, chat template applied."""
        template = instruction_template(self.settings.style, self.labels, self._shots, self._described)
        if self.settings.style != "chat":
            return template
        if not self.tokenizer.chat_template:
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
        return rendered

    def _cut_prefix(self, head: str) -> tuple[str, str]:
        """Cut `head` in two: the prefix, and the lead that is tokenized with each question."""
        cuts = [i for i in range(len(head) - 1, 0, -1) if head[i] in " \n" and head[i - 1] not in " \n"]
        for cut in cuts[:8]:
            if self._boundary_holds(head[:cut], head[cut:]):
                return head[:cut], head[cut:]
        # A tokenizer that marks the start of every text (SentencePiece) has none: rows are cut off the whole.
        cut = cuts[0] if cuts else 0
        return head[:cut], head[cut:]

    def _boundary_holds(self, prefix: str, lead: str) -> bool:
        start = self._ids(prefix, start=True)
        texts = [lead + probe + self._suffix for probe in _BOUNDARY_PROBES]
        return all(start + self._ids(text) == self._ids(prefix + text, start=True) for text in texts)

    def _batch_ids(self, texts: list[str]) -> list[list[int]]:
        if not texts:
            return []
        if not self._cuts_whole:
            encoded: list[list[int]] = self.tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"]
            return encoded
        rows = [self._ids(self.prefix + text, start=True) for text in texts]
        size = len(self.prefix_ids)
        for row in rows:
            if row[:size] != self.prefix_ids:
                raise BaseModelError("This base's tokenizer merges the prompt with the question; use another base.")
        return [row[size:] for row in rows]

    def _encode_labels(self) -> list[list[int]]:
        """Return the ids of each label after the prompt: what the whole has beyond the prompt alone."""
        anchor = self._lead + "What is it?" + self._suffix
        alone = self._ids(self.prefix + anchor, start=True)
        label_ids: list[list[int]] = []
        for label in self.labels:
            whole = self._ids(self.prefix + anchor + self.labels.answer(label), start=True)
            if whole[: len(alone)] != alone or len(whole) == len(alone):
                raise BaseModelError(f"This base's tokenizer merges the label {label!r} with the prompt.")
            label_ids.append(whole[len(alone) :])
        return label_ids

    def _ids(self, text: str, start: bool = False) -> list[int]:
        """Return the ids of `text`; at the `start` of a prompt with the special tokens that belong there."""
        ids: list[int] = self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
        return self._start + ids if start else ids

    def _start_ids(self) -> list[int]:
        """Return the tokenizer's beginning-of-text token, where it adds one to ordinary text."""
        with_special: list[int] = self.tokenizer("a", verbose=False)["input_ids"]
        bos = self.tokenizer.bos_token_id
        return [bos] if bos is not None and with_special[:1] == [bos] else []
