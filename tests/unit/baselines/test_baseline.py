from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from helpers.tiny_models import WORDS, make_rows
from subjectwise.baselines.baseline import Baseline
from subjectwise.baselines.estimators import KINDS
from subjectwise.baselines.saved_baseline import is_baseline_folder
from subjectwise.baselines.sentence_encoder import Encoder
from subjectwise.data.split import open_split
from subjectwise.errors import BaseModelError, DataError, ModelFolderError, SubjectwiseError
from subjectwise.labels import LabelSet
from subjectwise.records import Example, Predictor, Question

LABELS = LabelSet(tuple(WORDS))


def rows(labels: Sequence[str] = tuple(WORDS)) -> list[Example]:
    return [
        Example(str(row["question_id"]), Question(row["question"]), row["category"], row["src"])
        for row in make_rows()
        if row["category"] in labels
    ]


def save_encoder(folder: Path, size: int = 32, seed: int = 0) -> Path:
    """A sentence-transformers folder as they are published: a tiny BERT with random weights, mean pooling."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(seed)
    words = sorted({word for row in make_rows() for word in row["question"].lower().strip("?.").split()})
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words]
    base = folder.with_name(f"{folder.name}-base")
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=size, num_hidden_layers=1, num_attention_heads=2, intermediate_size=48
    )
    BertModel(config).save_pretrained(base)
    BertTokenizerFast(vocab={word: i for i, word in enumerate(vocabulary)}).save_pretrained(base)
    transformer = Transformer(str(base), max_seq_length=32)
    SentenceTransformer(modules=[transformer, Pooling(size)], device="cpu").save(str(folder))
    return folder


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_encoder(tmp_path_factory.mktemp("encoders") / "tiny-bert")


def accuracy(baseline: Baseline, examples: Sequence[Example]) -> float:
    probabilities = baseline.predict_proba([example.question for example in examples])
    assert probabilities.shape == (len(examples), len(baseline.classes_))
    assert np.allclose(probabilities.sum(axis=1), 1) and probabilities.min() >= 0
    return float(np.mean(baseline.classes_[probabilities.argmax(axis=1)] == [row.label for row in examples]))


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_and_answers_the_same_after_loading(
    kind: str, split_folder: Path, encoder: Path, tmp_path: Path
) -> None:
    data = open_split(split_folder)
    baseline = Baseline.fit(
        kind, data.examples("train"), data.examples("validation"), data.labels, encoder=str(encoder)
    )
    assert isinstance(baseline, Predictor) and list(baseline.classes_) == list(data.labels)
    assert baseline.config.results["validation"]["rows"] == len(data.examples("validation"))
    if kind != "majority":
        assert accuracy(baseline, data.examples("test")) > 0.6
    baseline.save(tmp_path / "saved", manifest_sha256=data.manifest_sha256)
    loaded = Baseline.load(tmp_path / "saved")
    questions: list[Question | str] = [
        *(row.question for row in data.examples("test")),
        "How do neurons transmit signals?",
    ]
    assert np.array_equal(baseline.predict_proba(questions), loaded.predict_proba(questions))
    assert loaded.config.manifest_sha256 == data.manifest_sha256 and loaded.warning == ""
    assert loaded.config.results == baseline.config.results
    written = json.loads((tmp_path / "saved/baseline.json").read_text())
    assert set(written) == {
        "schema_version", "kind", "labels", "calibration", "thresholds", "encoder", "manifest_sha256", "versions",
        "results",
    }  # fmt: skip
    assert is_baseline_folder(tmp_path / "saved") and not is_baseline_folder(tmp_path)
    assert loaded.predict_proba([]).shape == (0, 4)


def test_the_majority_gives_the_labels_shares() -> None:
    baseline = Baseline.fit("majority", rows()[:36], rows(["biology"]), LabelSet(("biology", "computer science")))
    assert baseline.predict_proba(["What is a gene?"])[0] == pytest.approx([24 / 36, 12 / 36])


def test_a_shown_option_is_read() -> None:
    baseline = Baseline.fit("tfidf-svm", rows(), rows(), LABELS)
    shown = Question("Which of the following is true?", ("photon", "momentum"))
    hidden, seen = baseline.predict_proba([shown.text, shown])
    assert seen[LABELS.index("physics")] > hidden[LABELS.index("physics")] + 0.1


def test_columns_follow_the_label_set_and_two_labels_do() -> None:
    turned = LabelSet(("physics", "biology"))
    baseline = Baseline.fit("tfidf-svm", rows(turned.names), rows(turned.names), turned)
    assert list(baseline.classes_) == ["physics", "biology"]
    assert accuracy(baseline, rows(turned.names)) == 1.0


@pytest.mark.parametrize("validation", [[], rows(["law"])])
def test_probabilities_are_calibrated_whatever_the_validation_rows(validation: list[Example]) -> None:
    baseline = Baseline.fit("tfidf-svm", rows(), validation, LABELS)
    # An SVM's margins alone make probabilities that are far too even.
    assert baseline.config.temperature < 0.8
    assert bool(baseline.config.results) == bool(validation)
    assert accuracy(baseline, rows()) > 0.9


def test_rows_that_cannot_be_used() -> None:
    with pytest.raises(DataError, match=r"no baseline 'svm'; use one of majority, tfidf-svm, minilm-lr"):
        Baseline.fit("svm", rows(), [], LABELS)
    with pytest.raises(DataError, match="'law' has no training row"):
        Baseline.fit("majority", rows(["biology"]), [], LabelSet(("biology", "law")))
    with pytest.raises(DataError, match="'physics' is not one of the labels"):
        Baseline.fit("majority", rows(["biology", "law"]), rows(["physics"]), LabelSet(("biology", "law")))
    with pytest.raises(DataError, match="'law' has too few different questions for 5 folds"):
        Baseline.fit("tfidf-svm", rows(["biology"]) + rows(["law"])[:3], [], LabelSet(("biology", "law")))
    marks = [Example(str(i), Question("???" + "!" * i), "ab"[i % 2]) for i in range(4)]
    with pytest.raises(DataError, match="no words to learn from"):
        Baseline.fit("tfidf-svm", marks, marks, LabelSet(("a", "b")))


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    Baseline.fit("majority", rows(), [], LABELS).save(tmp_path / "majority")
    return tmp_path / "majority"


def test_a_foreign_type_is_refused_before_it_is_loaded(saved: Path) -> None:
    from skops.io import dump

    dump(Question("What is a cell?"), saved / "model.skops")
    with pytest.raises(ModelFolderError, match=r"holds the type subjectwise\.records\.Question, which no baseline has"):
        Baseline.load(saved)


def test_damaged_folders(saved: Path, tmp_path: Path) -> None:
    from skops.io import dump

    with pytest.raises(ModelFolderError, match=r"not a baseline folder: it has no baseline\.json"):
        Baseline.load(tmp_path)
    dump(np.zeros(3), saved / "model.skops")
    with pytest.raises(ModelFolderError, match="is not a majority of 4 labels"):
        Baseline.load(saved)
    (saved / "model.skops").write_bytes(b"no archive")
    with pytest.raises(ModelFolderError, match=r"model\.skops is damaged"):
        Baseline.load(saved)
    (saved / "model.skops").unlink()
    with pytest.raises(ModelFolderError, match=r"model\.skops is missing"):
        Baseline.load(saved)
    written: dict[str, Any] = json.loads((saved / "baseline.json").read_text())
    for change, message in (
        ({"schema_version": 9}, "schema version 9"),
        ({"kind": "minilm-lr"}, "is damaged"),
        ({"calibration": {"temperature": 0}}, r"is damaged: the temperature is 0\.0"),
        ({"labels": ["law"]}, "is damaged: A label set needs at least two"),
    ):
        (saved / "baseline.json").write_text(json.dumps(written | change))
        with pytest.raises(ModelFolderError, match=message):
            Baseline.load(saved)


def test_another_encoder(encoder: Path, tmp_path: Path) -> None:
    Baseline.fit("minilm-lr", rows(), rows(), LABELS, encoder=str(encoder)).save(tmp_path / "saved")
    other = save_encoder(tmp_path / "other", seed=1)
    assert "its hash differs" in Baseline.load(tmp_path / "saved", encoder=str(other)).warning
    wide = save_encoder(tmp_path / "wide", size=48)
    with pytest.raises(ModelFolderError, match=r"embeddings of width 32; those of .*wide have 48"):
        Baseline.load(tmp_path / "saved", encoder=str(wide))


def test_embeddings_keep_their_order_and_report_progress(encoder: Path) -> None:
    loaded = Encoder(str(encoder), "cpu")
    done: list[int] = []
    texts = [row.question.text for row in rows()]
    vectors = loaded.encode(texts, done.append)
    assert sum(done) == len(texts) and vectors.shape == (len(texts), loaded.info.size)
    assert np.allclose(vectors[7], loaded.encode([texts[7]])[0], atol=1e-6)
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-6)


def test_encoders_that_are_not_loaded(encoder: Path, tmp_path: Path) -> None:
    import shutil

    with pytest.raises(BaseModelError, match="There is no encoder folder"):
        Encoder(str(tmp_path / "none"))
    with pytest.raises(BaseModelError, match="no encoder of that name could be brought from the Hub"):
        Encoder("nobody/no-such-encoder")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BaseModelError, match="holds no weights"):
        Encoder(str(tmp_path / "empty"))
    pickled = Path(shutil.copytree(encoder, tmp_path / "pickled"))
    (pickled / "2_Dense").mkdir()
    (pickled / "2_Dense/pytorch_model.bin").write_bytes(b"")
    with pytest.raises(BaseModelError, match=r"pytorch_model\.bin, a pickle, which is not loaded"):
        Encoder(str(pickled))
    coded = Path(shutil.copytree(encoder, tmp_path / "coded"))
    (coded / "own.py").write_text(f"import pathlib; pathlib.Path({str(tmp_path / 'ran')!r}).touch()\nclass Own: ...\n")
    modules = json.loads((coded / "modules.json").read_text())
    modules[1]["type"] = "own.Own"
    (coded / "modules.json").write_text(json.dumps(modules))
    with pytest.raises(BaseModelError, match="that can be loaded safely"):
        Encoder(str(coded))
    assert not (tmp_path / "ran").exists()


def test_a_missing_library_is_named(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("sentence_transformers", "skops.io", "datasketch"):
        monkeypatch.setitem(sys.modules, module, None)
    hint = r"install subjectwise with the `baselines` extra: pip install 'subjectwise\[baselines\]'"
    with pytest.raises(SubjectwiseError, match=f"needs sentence_transformers; {hint}"):
        Baseline.fit("minilm-lr", rows(), rows(), LABELS)
    with pytest.raises(SubjectwiseError, match=hint):
        Baseline.load(saved)
    with pytest.raises(SubjectwiseError, match="needs datasketch; install subjectwise with the `train` extra"):
        Baseline.fit("tfidf-svm", rows(), [], LABELS)
