"""A copy of a tokenizer that cleans a question and puts the prompt around it by itself. Knows no model.

The text of the prompt goes into the tokenizer's normalizer. Special tokens of a chat template are found before a
normalizer runs, so they and what lies beyond them go into the post-processor, by their ids.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from subjectwise.errors import ModelFolderError
from subjectwise.models.classification_head import HeadEncoder
from subjectwise.records import Question
from subjectwise.text.prompt import Prompt
from subjectwise.types import Tokenizer
from subjectwise.utils.clean_text import CONTROL_CHARACTERS

if TYPE_CHECKING:
    from tokenizers import Tokenizer as FastTokenizer
    from tokenizers.normalizers import Normalizer
    from tokenizers.processors import TemplateProcessing

# Stands for the question where a prompt is rendered to be cut around it; no spelling correction changes it.
_SLOT = "\u27e6\u27e7"

# An index of the pad token that every model has, for a tokenizer without special tokens.
_PAD_NAMES = ("pad_token", "unk_token", "eos_token", "bos_token")


@dataclass(frozen=True)
class Surroundings:
    """What stands around a question in what a model reads.

    Attributes:
        start_ids: token ids before everything else.
        head: text before the question, tokenized with it.
        tail: text after the question, tokenized with it.
        end_ids: token ids after everything else.
    """

    start_ids: tuple[int, ...] = ()
    head: str = ""
    tail: str = ""
    end_ids: tuple[int, ...] = ()


def prompt_surroundings(prompt: Prompt) -> Surroundings:
    """Return what a prompt puts around a question."""
    head, tail = prompt.render(Question(_SLOT)).split(_SLOT)
    special = list(fast_tokenizer(prompt.tokenizer).get_added_tokens_decoder().values())
    contents = [token.content for token in special if token.content]
    head_cut = max((head.rfind(text) + len(text) for text in contents if text in head), default=0)
    tail_cut = min((tail.find(text) for text in contents if text in tail), default=len(tail))
    start = prompt.prefix_ids[: len(prompt.prefix_ids) - len(_ids(prompt.tokenizer, prompt.prefix))]
    return Surroundings(
        (*start, *_ids(prompt.tokenizer, head[:head_cut])), head[head_cut:], tail[:tail_cut],
        tuple(_ids(prompt.tokenizer, tail[tail_cut:])),
    )  # fmt: skip


def head_surroundings(encoder: HeadEncoder) -> Surroundings:
    """Return the special tokens that a classification head's tokenizer puts around a question."""
    plain, whole = _ids(encoder.tokenizer, "a"), list(encoder.tokenizer("a", verbose=False)["input_ids"])
    start = next(i for i in range(len(whole)) if whole[i : i + len(plain)] == plain)
    return Surroundings(tuple(whole[:start]), end_ids=tuple(whole[start + len(plain) :]))


def surround(tokenizer: Tokenizer, around: Surroundings, longest: int) -> Tokenizer:
    """Return a copy of a tokenizer that reads a bare question as the model was trained to read it.

    It replaces control characters by spaces, normalises to NFC, strips, and puts `around` around the question. It pads
    on the right, with a token that is never the last of a row, by which transformers finds a row's end.

    Args:
        tokenizer: of the base; stays as it is.
        around: the prompt, or the special tokens of a head.
        longest: how many tokens the model has positions for.

    Raises:
        ModelFolderError: the tokenizer is not of the library `tokenizers`, or has no token to pad with.
    """
    from tokenizers import Tokenizer as FastTokenizer
    from transformers import PreTrainedTokenizerFast

    copy = FastTokenizer.from_str(fast_tokenizer(tokenizer).to_str())
    copy.no_padding()
    copy.no_truncation()
    copy.normalizer = _normalizer(copy.normalizer, around)
    copy.post_processor = _post_processor(around)
    last = copy.encode("a").ids[-1]
    special = {name: getattr(tokenizer, name) for name in _PAD_NAMES if getattr(tokenizer, name)}
    pads = [token for token in special.values() if copy.token_to_id(token) not in (None, last)]
    if not pads:
        raise ModelFolderError("Cannot export: the tokenizer has no token to pad rows with; use another base.")
    return PreTrainedTokenizerFast(  # type: ignore[no-any-return]
        tokenizer_object=copy,
        **{**special, "pad_token": pads[0]},
        padding_side="right",
        model_max_length=longest,
        model_input_names=["input_ids", "attention_mask"],
        clean_up_tokenization_spaces=False,
    )


def fast_tokenizer(tokenizer: Tokenizer) -> FastTokenizer:
    """Return the tokenizer of the library `tokenizers` inside one of transformers.

    Raises:
        ModelFolderError: it is not made of one.
    """
    inner: FastTokenizer | None = getattr(tokenizer, "backend_tokenizer", None)
    if inner is None or not hasattr(inner, "to_str"):
        raise ModelFolderError("Cannot export: the base's tokenizer has no tokenizer.json; use another base.")
    return inner


def _normalizer(own: Normalizer | None, around: Surroundings) -> Normalizer:
    """Return the cleaning of a question, the prompt's text around it, and then the tokenizer's own normalizer."""
    from tokenizers import Regex, normalizers

    steps = [
        normalizers.Replace(Regex(CONTROL_CHARACTERS.pattern), " "),
        normalizers.NFC(),
        normalizers.Strip(),
    ]
    if around.head:
        steps.append(normalizers.Prepend(around.head))
    if around.tail:
        steps.append(normalizers.Replace(Regex(r"\z"), around.tail))
    return normalizers.Sequence([*steps, *([own] if own is not None else [])])


def _post_processor(around: Surroundings) -> TemplateProcessing:
    from tokenizers.processors import TemplateProcessing

    parts = {"<prompt-start>": around.start_ids, "<prompt-end>": around.end_ids}
    start, end = (name if ids else "" for name, ids in parts.items())
    return TemplateProcessing(
        single=" ".join(filter(None, (start, "$A", end))),
        special_tokens=[
            {"id": name, "ids": list(ids), "tokens": [name] * len(ids)} for name, ids in parts.items() if ids
        ],
    )


def _ids(tokenizer: Tokenizer, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"] if text else []
    return ids


def same_ids(exported: Tokenizer, texts: Sequence[str], expected: Sequence[Sequence[int]]) -> bool:
    """Return whether a surrounded tokenizer reads each text as the `expected` token ids."""
    return [list(exported(text, verbose=False)["input_ids"]) for text in texts] == [list(row) for row in expected]
