"""Bases by name: what is loaded, what is refused, and in which precision."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModel, BartConfig, BertConfig, BertForMaskedLM

from helpers.encoders import LABELS
from helpers.tiny_models import save_random
from subjectwise.errors import BaseModelError
from subjectwise.models.base_model import load_base
from subjectwise.utils.atomic_files import files_sha256


def test_a_folder_is_loaded_in_the_requested_precision(tiny_base: Path) -> None:
    base = load_base(str(tiny_base), device="cpu", dtype="bfloat16")
    assert base.model.dtype == base.precision == torch.bfloat16 and base.new == ()
    assert base.info.sha256 == files_sha256([tiny_base / "model.safetensors"])
    assert (base.info.hidden_size, base.info.vocab_size) == (64, len(base.tokenizer.get_vocab()))
    stored = load_file(tiny_base / "model.safetensors")["model.embed_tokens.weight"]
    embedded = load_base(str(tiny_base), device="cpu", dtype="float32").model.get_input_embeddings().weight
    assert torch.equal(embedded.detach(), stored)


def test_an_encoder_stays_in_float32_and_computes_in_the_requested_precision(head_bases: dict[str, Path]) -> None:
    base = load_base(str(head_bases["bert"]), device="cpu", dtype="bfloat16", labels=LABELS.names)
    assert base.model.dtype == torch.float32 and base.precision == torch.bfloat16
    assert {"classifier.weight", "classifier.bias"} <= set(base.new)
    assert base.model.config.id2label == dict(enumerate(LABELS.names))


def test_a_pad_token_is_set_where_there_is_none(tmp_path: Path, tiny_base: Path) -> None:
    from helpers.folders import copy_folder, edit

    folder = copy_folder(tiny_base, tmp_path / "bare")
    edit(folder / "config.json", pad_token_id=None)
    edit(folder / "tokenizer_config.json", pad_token=None)
    base = load_base(str(folder), device="cpu")
    assert base.model.config.pad_token_id == base.tokenizer.pad_token_id == 0


def test_a_pickle_is_not_loaded(tmp_path: Path) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "exploded",))

    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb()))
    with pytest.raises(BaseModelError, match="only pytorch_model.bin, a pickle"):
        load_base(str(tmp_path))
    assert not (tmp_path / "exploded").exists()
    (tmp_path / "pytorch_model.bin").unlink()
    with pytest.raises(BaseModelError, match="has no weights; a base needs"):
        load_base(str(tmp_path))


def test_kinds_that_cannot_be_used_are_refused(tmp_path: Path, head_bases: dict[str, Path], tokenizer: Any) -> None:
    for kind in ("bert", "mpnet"):
        with pytest.raises(BaseModelError, match="is an encoder, which cannot continue a text; train a head"):
            load_base(str(head_bases[kind]))
    tiny = BartConfig(
        vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1, max_position_embeddings=32
    )
    AutoModel.from_config(tiny).save_pretrained(tmp_path / "bart")
    tokenizer.save_pretrained(tmp_path / "bart")
    with pytest.raises(BaseModelError, match="is an encoder-decoder; use a decoder, or an encoder with a head"):
        load_base(str(tmp_path / "bart"), labels=LABELS.names)
    with pytest.raises(BaseModelError, match="Unknown folder"):
        load_base(str(tmp_path / "nowhere"))


def test_a_head_for_other_labels_is_replaced_by_a_new_one(tmp_path: Path, head_bases: dict[str, Path]) -> None:
    four = load_base(str(head_bases["bert"]), device="cpu", dtype="float32", labels=LABELS.names)
    four.model.save_pretrained(tmp_path / "four")
    four.tokenizer.save_pretrained(tmp_path / "four")
    assert load_base(str(tmp_path / "four"), device="cpu", labels=LABELS.names).new == ()
    two = load_base(str(tmp_path / "four"), device="cpu", dtype="float32", labels=["a", "b"])
    assert two.model.classifier.weight.shape[0] == 2
    assert set(two.new) == {"classifier.weight", "classifier.bias"}


def test_a_model_with_a_head_cannot_continue_a_text(tmp_path: Path, head_bases: dict[str, Path]) -> None:
    headed = load_base(str(head_bases["decoder"]), device="cpu", dtype="float32", labels=LABELS.names)
    headed.model.save_pretrained(tmp_path / "headed")
    headed.tokenizer.save_pretrained(tmp_path / "headed")
    with pytest.raises(BaseModelError, match="has a classification head and cannot continue a text"):
        load_base(str(tmp_path / "headed"))


def test_an_encoder_is_not_quantized(tmp_path: Path, tokenizer: Any) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 1, "num_attention_heads": 2}
    folder = save_random(tmp_path / "bert", BertForMaskedLM(BertConfig(vocab_size=len(tokenizer), **sizes)), tokenizer)
    with pytest.raises(BaseModelError, match="bert is an encoder, and only decoders are loaded in 4 bits"):
        load_base(str(folder), device="cpu", labels=("law", "math"), four_bit=True)
