"""The fast model of a model folder: a linear model over hashed words and characters. numpy alone answers.

It is a TF-IDF model: each text is a vector of (1 + log count) · idf per feature, of length 1 for words and for
characters, and a class's score is its product with the class's weights. Weights are 8-bit whole numbers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from subjectwise.errors import DataError, ModelFolderError
from subjectwise.labels import LabelSet
from subjectwise.statistics.calibration import apply_temperature
from subjectwise.statistics.cascade import Pooling, Promise
from subjectwise.statistics.scope import ScopeCalibration
from subjectwise.text.hashed_features import FeatureRows, FeatureSpace, count_features
from subjectwise.types import BoolArray, Float32Array, FloatArray
from subjectwise.utils.atomic_files import files_sha256, read_json, write_json
from subjectwise.utils.json_records import FieldError, from_json, to_json

SCHEMA_VERSION = 1
CONFIG_FILE = "fast.json"
WEIGHTS_FILE = "fast.safetensors"
FAST_FILES = (CONFIG_FILE, WEIGHTS_FILE)

_Kind = TypeVar("_Kind", bound=np.generic)

# Texts that are computed together: more make the arrays fall out of the processor's caches.
_BATCH = 32


@dataclass(frozen=True)
class FastConfig:
    """The content of `fast.json`.

    Attributes:
        labels: in the order of the columns.
        features: what is counted of a text.
        temperature: divides the scores before they become probabilities.
        scope: how log-odds of any label against none become `in_scope`; None where no such rows were trained on.
        model_sha256: of the weights of the language model for which the rest was chosen.
        model_temperature: of that language model.
        pooling: how its probabilities are combined with the fast model's.
        promises: by the points of accuracy that may be lost, when the fast model answers alone; `NEVER` for the pair
            whose language model answers every question.
        min_known: the least share of a question's words that were in the training rows, for an answer alone.
        min_in_scope: the least probability of belonging to any label, for an answer alone.
        manifest_sha256: of the split folder that it was trained on.
        results: what was measured on the validation rows.
    """

    labels: tuple[str, ...]
    features: FeatureSpace
    temperature: float = 1.0
    scope: ScopeCalibration | None = None
    model_sha256: str = ""
    model_temperature: float = 1.0
    pooling: Pooling = field(default_factory=Pooling)
    promises: dict[str, Promise] = field(default_factory=dict)
    min_known: float = 0.0
    min_in_scope: float = 0.0
    manifest_sha256: str = ""
    results: dict[str, object] = field(default_factory=dict)
    schema_version: int = SCHEMA_VERSION

    def __post_init__(self) -> None:
        LabelSet(self.labels)
        if not 0 < self.temperature < float("inf") or not 0 < self.pooling.temperature < float("inf"):
            raise DataError("a temperature is not above 0")

    def may_answer(self, answers: FastAnswers, min_in_scope: float | None) -> BoolArray:
        """Return which texts the fast model may answer alone, if it is sure enough, [texts].

        Args:
            answers: of this model.
            min_in_scope: of the language model: what may belong to no label is for that model to say.
        """
        least = max(self.min_in_scope, min_in_scope or 0.0)
        return (answers.known >= self.min_known) & (answers.in_scope >= least)

    def answers_alone(self, answers: FastAnswers, least: float | None, min_in_scope: float | None) -> BoolArray:
        """Return which texts the fast model answers alone, [texts].

        Args:
            answers: of this model.
            least: the confidence that is enough; None where none is.
            min_in_scope: as for `may_answer`.
        """
        if least is None:
            return np.zeros(len(answers.known), dtype=np.bool_)
        return self.may_answer(answers, min_in_scope) & (answers.confidence >= least)


@dataclass(frozen=True)
class FastWeights:
    """The numbers of a fast model.

    Attributes:
        idf: of each feature, [features].
        weights: whole numbers of 8 bits, [features, classes]; the last class is the one for no label, where there is
            one more class than labels.
        scales: what those of a class are multiplied by, [classes].
        intercepts: [classes].
        vocabulary: bits that are set for the words of the training rows (a Bloom filter with one hash), [bits / 8].
    """

    idf: Float32Array
    weights: npt.NDArray[np.int8]
    scales: Float32Array
    intercepts: Float32Array
    vocabulary: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class FastAnswers:
    """What a fast model says of texts.

    Attributes:
        probabilities: calibrated, of the labels, [texts, labels], rows summing to 1.
        none: calibrated probability of no label among all classes, [texts].
        in_scope: the calibrated probability that the text belongs to any label, as if half of the texts did, [texts].
        known: the share of the text's words that were in the training rows, [texts]; 0 for a text without words.
    """

    probabilities: FloatArray
    none: FloatArray
    in_scope: FloatArray
    known: FloatArray

    @property
    def confidence(self) -> FloatArray:
        """The probability of the best label among all classes, [texts]."""
        return np.asarray(self.probabilities.max(axis=1) * (1 - self.none))


class FastModel:
    """Answers texts at once.

    Args:
        config: what its folder says of it.
        weights: its numbers.
        sha256: of the folder's files; empty where it was not loaded from one.

    Raises:
        ModelFolderError: the two do not fit together.
    """

    def __init__(self, config: FastConfig, weights: FastWeights, sha256: str = "") -> None:
        self.config = config
        self.weights = weights
        self.sha256 = sha256
        classes = len(config.labels) + (config.scope is not None)
        shapes = [(config.features.size,), (config.features.size, classes), (classes,), (classes,)]
        if [value.shape for value in vars(weights).values()][:4] != shapes or not weights.vocabulary.size:
            raise ModelFolderError(f"{CONFIG_FILE} and {WEIGHTS_FILE} do not fit together; train the fast model again.")

    @property
    def labels(self) -> LabelSet:
        """The labels, in the order of the columns."""
        return LabelSet(self.config.labels)

    def answer(self, texts: Sequence[str]) -> FastAnswers:
        """Return what the model says of texts, as `question_text` returns them."""
        scores, known = self.scores(texts)
        return self.calibrated(scores, known)

    def calibrated(self, scores: FloatArray, known: FloatArray) -> FastAnswers:
        """Return the answers that `scores` stand for."""
        labels, scope = len(self.config.labels), self.config.scope
        whole = apply_temperature(scores, self.config.temperature)
        none = np.zeros(len(scores)) if scope is None else whole[:, labels]
        return FastAnswers(
            apply_temperature(scores[:, :labels], self.config.temperature), none,
            np.ones(len(scores)) if scope is None else scope.apply(scope_log_odds(scores, self.config.temperature)),
            known,
        )  # fmt: skip

    def scores(self, texts: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        """Return the scores, [texts, classes], and the share of known words of each text, [texts]."""
        parts = [self._batch_scores(texts[start : start + _BATCH]) for start in range(0, len(texts), _BATCH)]
        scores = [np.zeros((0, len(self.weights.scales))), *(part for part, _ in parts)]
        return np.concatenate(scores), np.concatenate([np.zeros(0), *(known for _, known in parts)])

    def _batch_scores(self, texts: Sequence[str]) -> tuple[FloatArray, FloatArray]:
        features = count_features(texts, self.config.features)
        values = feature_values(features, self.weights.idf, self.config.features)
        products = self.weights.weights[features.bucket] * values[:, None]  # [entries, classes]
        summed = np.zeros((len(texts), products.shape[1]))
        starts = np.flatnonzero(np.diff(features.row, prepend=-1))
        if starts.size:
            summed[features.row[starts]] = np.add.reduceat(products, starts, axis=0)
        scores = summed * self.weights.scales + self.weights.intercepts
        return scores, known_share(features, self.weights.vocabulary)


def scope_log_odds(scores: FloatArray, temperature: float) -> FloatArray:
    """Return the log-odds of any label against none, [texts], of scores whose last class is none."""
    return np.asarray(np.logaddexp.reduce(scores[:, :-1] / temperature, axis=1) - scores[:, -1] / temperature)


def feature_values(features: FeatureRows, idf: Float32Array, space: FeatureSpace) -> Float32Array:
    """Return the TF-IDF value of each entry, [entries]; of each text those of words have length 1, and the others'."""
    values = (1 + np.log(features.count, dtype=np.float32)) * idf[features.bucket]
    block = 2 * features.row + (features.bucket >= space.word_buckets)
    squares = np.bincount(block, weights=values**2, minlength=2 * features.texts)
    return np.asarray(values / np.sqrt(squares)[block], dtype=np.float32)


def known_share(features: FeatureRows, vocabulary: npt.NDArray[np.uint8]) -> FloatArray:
    """Return the share of each text's words that the vocabulary has, [texts]; 0 for a text without words."""
    bits = _vocabulary_bits(features.words, 8 * len(vocabulary))
    known = (vocabulary[bits >> np.uint64(3)] >> (bits & np.uint64(7)).astype(np.uint8)) & 1
    words = np.bincount(features.word_row, minlength=features.texts)
    return np.asarray(np.bincount(features.word_row, weights=known, minlength=features.texts) / np.maximum(words, 1))


def make_vocabulary(words: npt.NDArray[np.uint64], bits: int) -> npt.NDArray[np.uint8]:
    """Return the bits of a vocabulary with these words, [bits / 8]."""
    seen = np.zeros(bits, dtype=np.uint8)
    seen[_vocabulary_bits(words, bits)] = 1
    return np.packbits(seen, bitorder="little")


def _vocabulary_bits(words: npt.NDArray[np.uint64], bits: int) -> npt.NDArray[np.uint64]:
    # The upper half of the hash, since the lower one is that of the buckets.
    return np.asarray((words >> np.uint64(32)) % np.uint64(bits))


def is_fast_folder(folder: Path) -> bool:
    """Return whether the folder is a fast model's."""
    return (folder / CONFIG_FILE).is_file()


def save_fast_model(folder: Path, model: FastModel) -> None:
    """Write the files of a fast model into an existing `folder`."""
    from safetensors.numpy import save_file

    weights = model.weights
    tensors = {
        "idf": weights.idf.astype(np.float16), "weights": weights.weights, "scales": weights.scales,
        "intercepts": weights.intercepts, "vocabulary": weights.vocabulary,
    }  # fmt: skip
    save_file(tensors, folder / WEIGHTS_FILE)
    write_json(folder / CONFIG_FILE, to_json(model.config))


def load_fast_model(folder: Path) -> FastModel:
    """Load the fast model in `folder`.

    Raises:
        ModelFolderError: a file is missing, damaged or of another version.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    config_file, weights_file = (folder / name for name in FAST_FILES)
    for file in (config_file, weights_file):
        if not file.is_file():
            raise ModelFolderError(f"{file} is missing; train the fast model again with 'subjectwise train-fast'.")
    values = read_json(config_file, ModelFolderError)
    if (version := values.get("schema_version")) != SCHEMA_VERSION:
        raise ModelFolderError(f"{config_file} has schema version {version!r}; this version reads {SCHEMA_VERSION}.")
    try:
        config = from_json(FastConfig, values)
        tensors = load_file(weights_file)
        numbers = {name: tensors[name].astype(np.float32) for name in ("idf", "scales", "intercepts")}
        weights = FastWeights(
            numbers["idf"], _typed(tensors["weights"], np.int8), numbers["scales"], numbers["intercepts"],
            _typed(tensors["vocabulary"], np.uint8),
        )  # fmt: skip
    except (FieldError, DataError, SafetensorError, KeyError, OSError, ValueError, json.JSONDecodeError) as error:
        text = " ".join(str(error).split())[:200]
        raise ModelFolderError(f"The fast model in {folder} is damaged ({text}); train it again.") from error
    return FastModel(config, weights, fast_files_sha256(folder))


def fast_files_sha256(folder: Path) -> str:
    """Return the hash of a fast model's files, which identifies it."""
    return files_sha256([folder / name for name in FAST_FILES])


def _typed(values: npt.NDArray[Any], kind: type[_Kind]) -> npt.NDArray[_Kind]:
    if values.dtype != kind:
        raise ValueError(f"a tensor has the type {values.dtype}")
    return values
