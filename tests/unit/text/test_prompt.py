"""The boundary between prefix and row: equal to tokenizing the whole, for every tokenizer at hand."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from helpers.tiny_models import make_rows
from subjectwise.errors import BaseModelError
from subjectwise.labels import MMLU_PRO_LABELS, LabelSet
from subjectwise.recipe import STYLES, PromptSettings
from subjectwise.records import Question
from subjectwise.text.prompt import Prompt, instruction_template

SHARED = Path(os.environ.get("SUBJECTWISE_SHARED", Path(__file__).parents[4] / "shared"))
LABELS = LabelSet(MMLU_PRO_LABELS)
HARD = [
    "42", "(a) or (b)?", '"Quoted"', "$x^2 + 1$", "été", "光速是多少?", "... and then?", "A:", "Q: what?\nA: law",
    "-3 + 4 =", "line one\n\nline two", "trailing newline is stripped\n", "tab\tinside", "emoji 🙂 here", "a",
    "{question}", "{labels}",
]  # fmt: skip
QUESTIONS = [Question(text, ("one", "2", "(three)")) for text in HARD] + [
    Question(row["question"], tuple(row["options"])) for row in make_rows()
]


def sentencepiece_like() -> Any:
    """A tokenizer that marks the start of every text, as Llama 2 and Gemma have, and adds a beginning-of-text token."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    from helpers.tiny_models import corpus

    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="always")
    byte_tokens = [f"<0x{value:02X}>" for value in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=900, special_tokens=["<unk>", "<s>", "</s>", *byte_tokens])
    tokenizer.train_from_iterator(corpus(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def embedded() -> Any:
    from transformers import AutoTokenizer

    import subjectwise

    return AutoTokenizer.from_pretrained(Path(subjectwise.__file__).parent / "shipped")


def qwen3() -> Any:
    from transformers import AutoTokenizer

    folder = SHARED / "models/qwen3-0.6b"
    if not folder.is_dir():
        pytest.skip("the tokenizer of Qwen3-0.6B is not on this machine; set SUBJECTWISE_SHARED")
    return AutoTokenizer.from_pretrained(folder)


@pytest.fixture(params=["bytes", "sentencepiece", "embedded", "qwen3"])
def any_tokenizer(request: pytest.FixtureRequest, tokenizer: Any) -> Any:
    makers = {"bytes": lambda: tokenizer, "sentencepiece": sentencepiece_like, "embedded": embedded, "qwen3": qwen3}
    return makers[request.param]()


def whole_ids(tokenizer: Any, text: str, style: str) -> list[int]:
    """The ids that a user of `generate` would have: the tokenizer on the whole text, with its own special tokens."""
    ids: list[int] = tokenizer(text)["input_ids"]
    return ids[:-1] if ids[-1:] == [tokenizer.eos_token_id] and style != "chat" else ids


@pytest.mark.parametrize("style", STYLES)
def test_prefix_and_row_are_the_whole(any_tokenizer: Any, style: str) -> None:
    if style == "chat" and not any_tokenizer.chat_template:
        with pytest.raises(BaseModelError, match="no chat template"):
            Prompt(any_tokenizer, LABELS, PromptSettings(style=style))
        return
    prompt = Prompt(any_tokenizer, LABELS, PromptSettings(style=style, max_tokens=4096))
    shown = [*QUESTIONS, *(question.without_options() for question in QUESTIONS)]
    for question, row in zip(shown, prompt.encode(shown), strict=True):
        assert prompt.prefix_ids + row == whole_ids(any_tokenizer, prompt.render(question), style), question.text


@pytest.mark.parametrize("style", STYLES)
def test_labels_continue_the_prompt(any_tokenizer: Any, style: str) -> None:
    if style == "chat" and not any_tokenizer.chat_template:
        pytest.skip("this tokenizer has no chat template")
    prompt = Prompt(any_tokenizer, LABELS, PromptSettings(style=style, max_tokens=4096))
    questions = [question.without_options() for question in QUESTIONS[:20]]
    for question, row in zip(questions, prompt.encode(questions), strict=True):
        for label, ids in zip(LABELS, prompt.label_ids, strict=True):
            whole = whole_ids(any_tokenizer, prompt.render(question) + f" {label}", style)
            assert whole == prompt.prefix_ids + row + ids


def test_plain_is_the_model_card_to_the_letter(tokenizer: Any) -> None:
    card = """You are an expert academic classifier. Classify the following question into exactly ONE category. Respond with ONLY the category name.

Categories: biology, business, chemistry, computer science, economics, engineering, health, history, law, math, other, philosophy, physics, psychology

Examples:
Q: What is the optimal capital structure for a corporation?
A: business

Q: How do neurons transmit signals?
A: biology

Q: What are the principles of contract law?
A: law

Now classify this question:
Q: {question}
A:"""  # noqa: E501
    assert instruction_template("plain", LABELS) == card
    prompt = Prompt(tokenizer, LABELS, PromptSettings(style="plain"))
    assert prompt.render(Question("Why?")) == card.replace("{question}", "Why?")


def test_examples_of_other_labels_are_left_out() -> None:
    template = instruction_template("plain", LabelSet(("refund", "law")))
    assert "contract law" in template and "neurons" not in template
    assert "Examples" not in instruction_template("plain", LabelSet(("refund", "delivery")))


def test_other_labels_are_listed_with_their_descriptions_and_examples() -> None:
    labels = LabelSet(("refund", "law"), {"refund": "money {question} back"})
    template = instruction_template("plain", labels, [("Pay me {question}", "refund")], described=True)
    assert "\n- refund: money  back\n- law\n" in template and "academic" not in template
    assert "Q: Pay me \nA: refund\n" in template and template.count("{question}") == 1


def test_chat_is_wrapped_as_its_consumers_wrap_it() -> None:
    tokenizer = qwen3()
    prompt = Prompt(tokenizer, LABELS, PromptSettings(style="chat"))
    template = instruction_template("plain", LABELS).replace("{question}", "Why?")
    wrapped = f"<|im_start|>user\n{template}<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
    assert prompt.render(Question("Why?")) == wrapped


def test_qwen3_labels_differ_in_their_first_token() -> None:
    prompt = Prompt(qwen3(), LABELS, PromptSettings(style="plain"))
    assert len({ids[0] for ids in prompt.label_ids}) == 14
    assert sum(len(ids) == 1 for ids in prompt.label_ids) == 13


def test_a_long_question_loses_its_middle_only(tokenizer: Any) -> None:
    for style in STYLES:
        prompt = Prompt(tokenizer, LABELS, PromptSettings(style=style, max_tokens=32))
        long = Question("start " + "middle " * 300 + "end")
        (row,) = prompt.encode([long])
        (free,) = Prompt(tokenizer, LABELS, PromptSettings(style=style, max_tokens=4096)).encode([long])
        assert len(row) == 32
        assert row == free[:16] + free[-16:]
        suffix = prompt.render(Question("x")).rsplit("x", 1)[1]
        assert tokenizer.decode(row).endswith("end" + suffix)


def test_the_options_that_a_question_has_are_encoded(tokenizer: Any) -> None:
    prompt = Prompt(tokenizer, LABELS, PromptSettings())
    question = Question("Which?", ("red", "blue"))
    whole, text = prompt.encode([question, question.without_options()])
    assert whole == prompt.encode([Question("Which?\n- red\n- blue")])[0]
    assert text == prompt.encode([Question("Which?")])[0] != whole
    assert prompt.encode([]) == []


def test_the_corrected_question_is_encoded_with_its_options_as_they_are(tokenizer: Any) -> None:
    labels = LabelSet(("law", "physics"))
    plain, correcting = (
        Prompt(tokenizer, labels, PromptSettings(spelling=spelling), words={}) for spelling in ("none", "en")
    )
    typed, meant = Question("What is the enrgy?", ("enrgy",)), Question("What is the energy?", ("enrgy",))
    for first, second in ((typed, meant), (typed.without_options(), meant.without_options())):
        assert correcting.encode([first]) == plain.encode([second])
        assert correcting.render(first) == plain.render(second)
        assert plain.encode([first]) != plain.encode([second])
    assert "spelling" not in plain.settings.to_dict()  # older versions read the folder
    assert correcting.settings.to_dict()["spelling"] == "en"
