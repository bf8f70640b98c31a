"""Tokenizers without transformers give the ids, the texts and the chats that transformers' own give."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

from helpers.tiny_models import needs_base
from subjectwise.errors import BaseModelError, ModelFolderError
from subjectwise.models.gguf import embedded_file
from subjectwise.models.tokenizer import PlainTokenizer, read_gguf_tokenizer, read_tokenizer
from subjectwise.types import Tokenizer

ROOT = Path(__file__).parents[3]
SHARED = Path(os.environ.get("SUBJECTWISE_SHARED", ROOT.parent / "shared"))
SHIPPED = ROOT / "src/subjectwise/shipped"

HARD = [
    "", " ", "  two spaces", "\u00e9t\u00e9 \u5149\u901f e\u0301", "<|im_start|>user\nx<|im_end|>", "1234567 and 12.5",
    "a\r\nb\t c", "don't I'LL WE'VE", "<think></think>", "\U0001f642\u200d\u2194\ufe0f \U0001d518", "$\\frac{a}{b}$",
    "x\x00y", "later <new> <extra>x <end> a <image>",
]  # fmt: skip

CONVERSATIONS = [
    [{"role": "user", "content": "Which? {question}"}],
    [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "hi"},
        {"role": "assistant", "content": "<think>so</think> hello"},
        {"role": "user", "content": "and?"},
    ],
]


def texts() -> list[str]:
    """Real questions in several styles, prose, code, and characters that tokenizers disagree about."""
    files = ["exam_questions", "short_questions_test", "messy", "languages_test", "equations_test"]
    lines = [line for name in files for line in (ROOT / f"data/{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    questions = [str(next(iter(json.loads(line).values()))) for line in lines[::3]] + lines[:100]
    return [
        *HARD,
        *questions[::4],
        *(ROOT / "docs/architecture.md").read_text(encoding="utf-8").splitlines(keepends=True),
    ]


def auto_tokenizer(folder: Path, **options: Any) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(folder, **options)


def assert_equal(own: PlainTokenizer, theirs: Any) -> None:
    questions = texts()
    assert own(questions) == {"input_ids": theirs(questions, verbose=False)["input_ids"]}
    ids = theirs(questions, add_special_tokens=False, verbose=False)["input_ids"]
    assert own(questions, add_special_tokens=False)["input_ids"] == ids
    assert own(questions[-1])["input_ids"] == theirs(questions[-1])["input_ids"]
    for skip in (False, True):
        assert [own.decode(row, skip) for row in ids] == [theirs.decode(row, skip_special_tokens=skip) for row in ids]
    assert own.get_vocab() == theirs.get_vocab()
    assert len(own) == len(theirs)
    for name in ("bos_token", "eos_token", "unk_token", "pad_token"):
        assert getattr(own, name) == getattr(theirs, name)
        if name != "unk_token":
            assert getattr(own, f"{name}_id") == getattr(theirs, f"{name}_id")
    assert own.chat_template == theirs.chat_template
    for conversation in CONVERSATIONS if own.chat_template else []:
        for options in ({}, {"add_generation_prompt": True, "enable_thinking": False}, {"add_generation_prompt": True}):
            rendered = theirs.apply_chat_template(conversation, tokenize=False, **options)
            assert own.apply_chat_template(conversation, **options) == rendered


@pytest.fixture
def folder(tokenizer: Any, tmp_path: Path) -> Path:
    tokenizer.save_pretrained(tmp_path)
    return tmp_path


def change_config(folder: Path, **changes: object) -> None:
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_it_meets_the_protocol(folder: Path) -> None:
    tokenizer: Tokenizer = read_tokenizer(folder)
    assert tokenizer.eos_token == "<|end|>"


def test_the_shipped_tokenizer() -> None:
    assert_equal(read_tokenizer(SHIPPED), auto_tokenizer(SHIPPED))


def test_qwen3() -> None:
    folder = SHARED / "models/qwen3-0.6b"
    if not (folder / "tokenizer.json").is_file():
        pytest.skip("the tokenizer of Qwen3-0.6B is not on this machine; set SUBJECTWISE_SHARED")
    assert_equal(read_tokenizer(folder), auto_tokenizer(folder))


@pytest.mark.slow  # transformers reads the metadata of a GGUF file in 20 s
@needs_base
def test_the_embedded_base_as_gguf() -> None:
    path = embedded_file()
    assert_equal(read_gguf_tokenizer(path), auto_tokenizer(path.parent, gguf_file=path.name))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"add_bos_token": True, "bos_token": "<|user|>"},
        {"bos_token": "<new>", "additional_special_tokens": ["<extra>", "<|user|>"]},
        {"extra_special_tokens": {"image_token": "<image>"}},
        {
            "eos_token": {
                "__type": "AddedToken",
                "content": "<end>",
                "lstrip": True,
                "rstrip": True,
                "normalized": False,
                "single_word": False,
            }
        },
        {"added_tokens_decoder": {"700": {"content": "later", "special": False, "normalized": True}}},
    ],
)
def test_settings_of_a_tokenizer(folder: Path, changes: dict[str, object]) -> None:
    change_config(folder, tokenizer_class="PreTrainedTokenizerFast", **changes)
    assert_equal(read_tokenizer(folder), auto_tokenizer(folder))


def test_a_template_in_the_configuration_and_beside_it(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    change_config(folder, chat_template="{% for m in messages %}[{{ m.content }}]{% endfor %}")
    assert_equal(read_tokenizer(folder), auto_tokenizer(folder))
    named = [{"name": "tools", "template": "no"}, {"name": "default", "template": "yes"}]
    change_config(folder, chat_template=named)
    assert read_tokenizer(folder).chat_template == "yes"
    (folder / "chat_template.jinja").write_text("beside")
    assert read_tokenizer(folder).chat_template == "beside"


def test_long_texts_are_not_cut_and_short_ones_not_padded(folder: Path) -> None:
    settings = json.loads((folder / "tokenizer.json").read_text())
    settings["truncation"] = {"direction": "Right", "max_length": 4, "strategy": "LongestFirst", "stride": 0}
    settings["padding"] = {
        "strategy": {"Fixed": 64}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0,
        "pad_token": "<|end|>",
    }  # fmt: skip
    (folder / "tokenizer.json").write_text(json.dumps(settings))
    own = read_tokenizer(folder)
    short, long = own(["a", "What is a cell and how does it differ from a gene?"])["input_ids"]
    assert len(short) == 1 and 4 < len(long) < 64


def test_what_it_saves_is_read_by_both(folder: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    saved.mkdir()
    own = read_tokenizer(folder)
    own.pad_token = "<|user|>"
    own.save_pretrained(saved)
    assert_equal(read_tokenizer(saved), auto_tokenizer(saved))
    assert read_tokenizer(saved).pad_token == "<|user|>"
    own.pad_token = None
    assert own.pad_token_id is None


def test_a_damaged_tokenizer_is_one_sentence(folder: Path) -> None:
    (folder / "tokenizer.json").write_text('{"version": "1.0"')
    with pytest.raises(ModelFolderError, match="Cannot read the tokenizer in"):
        read_tokenizer(folder, ModelFolderError)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(BaseModelError, match="missing or damaged"):
        read_tokenizer(folder)


def test_a_base_without_a_chat_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(BaseModelError, match="no chat template"):
        read_tokenizer(folder).apply_chat_template(CONVERSATIONS[0])


@pytest.mark.parametrize("split", ["default", "llama-bpe", "qwen2"])
def test_a_gguf_file(folder: Path, tmp_path: Path, split: str) -> None:
    path = tmp_path / "gguf" / "tiny.gguf"
    path.parent.mkdir()
    write_gguf(path, folder, split)
    assert_equal(read_gguf_tokenizer(path), auto_tokenizer(path.parent, gguf_file=path.name))


def test_a_gguf_tokenizer_of_another_kind(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "tiny.gguf"
    write_gguf(path, folder, "default", model="llama")
    with pytest.raises(BaseModelError, match="tokenizer of the kind 'llama'; give a folder"):
        read_gguf_tokenizer(path)
    write_gguf(path, folder, "default", merges=False)
    with pytest.raises(BaseModelError, match=r"lacks tokenizer\.ggml\.merges"):
        read_gguf_tokenizer(path)


def write_gguf(path: Path, folder: Path, split: str, model: str = "gpt2", merges: bool = True) -> None:
    """Write the tokenizer of `folder` as the metadata of a GGUF file without tensors."""
    from gguf import GGUFWriter

    settings = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = settings["model"]["vocab"]
    tokens = [*sorted(vocabulary, key=vocabulary.__getitem__), "<think>", "caf\u00e9 \u2014", "<|endoftext|>"]
    kinds = [3, 3, 3, *([1] * (len(tokens) - 6)), 4, 1, 3]
    writer = GGUFWriter(path, "llama")
    writer.add_tokenizer_model(model)
    writer.add_tokenizer_pre(split)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    if merges:
        writer.add_token_merges([" ".join(pair) for pair in settings["model"]["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(split == "llama-bpe")
    writer.add_chat_template((folder / "chat_template.jinja").read_text())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def test_an_older_folder_has_its_special_tokens_in_a_file(folder: Path, tmp_path: Path) -> None:
    older = tmp_path / "older"
    older.mkdir()
    shutil.copy(folder / "tokenizer.json", older)
    (older / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}')
    (older / "special_tokens_map.json").write_text('{"eos_token": "<|end|>", "pad_token": {"content": "<|user|>"}}')
    own = read_tokenizer(older)
    assert (own.eos_token, own.pad_token) == ("<|end|>", "<|user|>")
    assert_equal(own, auto_tokenizer(older))
