"""Embeddings keep their order; an encoder that is not safe to load is refused."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers.baselines import labelled_rows
from helpers.folders import copy_folder
from subjectwise.baselines.sentence_encoder import SentenceEncoder
from subjectwise.errors import BaseModelError, SubjectwiseError


def test_embeddings_keep_their_order_and_report_progress(encoder: Path) -> None:
    loaded, progress = SentenceEncoder(str(encoder), "cpu"), list[int]()
    texts = [row.question.text for row in labelled_rows()]
    vectors = loaded.encode(texts, progress.append)
    assert sum(progress) == len(texts) and vectors.shape == (len(texts), loaded.info.size)
    assert np.allclose(vectors[7], loaded.encode([texts[7]])[0], atol=1e-6)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_encoders_that_are_not_loaded(encoder: Path, tmp_path: Path) -> None:
    with pytest.raises(BaseModelError, match="Unknown encoder .*none; give an existing folder, or a name on the Hub"):
        SentenceEncoder(str(tmp_path / "none"))
    with pytest.raises(BaseModelError, match="could not be downloaded from the Hub"):
        SentenceEncoder("nobody/no-such-encoder")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BaseModelError, match="has no weights"):
        SentenceEncoder(str(tmp_path / "empty"))
    pickled = copy_folder(encoder, tmp_path / "pickled")
    (pickled / "2_Dense").mkdir()
    (pickled / "2_Dense/pytorch_model.bin").write_bytes(b"")
    with pytest.raises(BaseModelError, match=r"pytorch_model\.bin, a pickle, which is not loaded"):
        SentenceEncoder(str(pickled))
    coded = copy_folder(encoder, tmp_path / "coded")
    (coded / "own.py").write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()\nclass Own: ...\n")
    modules = json.loads((coded / "modules.json").read_text())
    modules[1]["type"] = "own.Own"
    (coded / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(BaseModelError, match="as a sentence-transformers model"):
        SentenceEncoder(str(coded))
    assert not (tmp_path / "ran").exists()


def test_a_missing_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(SubjectwiseError, match=r"sentence_transformers.* run: pip install 'subjectwise\[baselines\]'"):
        SentenceEncoder()
