"""The folder of a baseline: `baseline.json` and `model.skops`, saved and loaded. Knows no questions.

An encoder's weights are not stored, only its name, hash and width. No pickle is loaded: skops refuses every type
that it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED

import numpy as np

from subjectwise.baselines.estimators import MINILM_LR, check_kind, raw_scores
from subjectwise.baselines.sentence_encoder import EncoderInfo
from subjectwise.errors import ModelFolderError
from subjectwise.labels import LabelSet
from subjectwise.types import JsonObject
from subjectwise.utils.atomic_files import new_folder, read_json, write_json
from subjectwise.utils.optional_dependencies import require
from subjectwise.utils.versions import library_versions

SCHEMA_VERSION = 1
CONFIG_FILE = "baseline.json"
MODEL_FILE = "model.skops"

# skops itself knows the types of scikit-learn, scipy and numpy; a baseline needs none beyond those.
TRUSTED_TYPES: tuple[str, ...] = ()


@dataclass(frozen=True)
class BaselineConfig:
    """The content of `baseline.json`.

    Attributes:
        kind: one of `KINDS`.
        labels: in the order of the columns.
        temperature: divides the estimator's scores before they become probabilities.
        prior: the share of each label among the training rows, in label order.
        thresholds: confidence for a wanted accuracy on the validation rows; empty where there were none.
        encoder: what embeds the questions, where the kind has an encoder.
        manifest_sha256: of the split folder that it was fitted on.
        results: metrics on the validation rows; empty where there were none.
    """

    kind: str
    labels: LabelSet
    temperature: float
    prior: tuple[float, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    encoder: EncoderInfo | None = None
    manifest_sha256: str = ""
    results: JsonObject = field(default_factory=dict)

    def to_dict(self) -> JsonObject:
        """Return the content of the file."""
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": self.kind,
            "labels": list(self.labels),
            "calibration": {"temperature": self.temperature, "prior": list(self.prior)},
            "thresholds": dict(self.thresholds),
            "encoder": asdict(self.encoder) if self.encoder else None,
            "manifest_sha256": self.manifest_sha256,
            "versions": library_versions("scikit-learn", "skops", "sentence-transformers"),
            "results": self.results,
        }

    @classmethod
    def from_dict(cls, values: JsonObject, path: Path) -> BaselineConfig:
        """Build it from the content of the file at `path`; raise ModelFolderError where that is damaged."""
        version = values.get("schema_version")
        if version != SCHEMA_VERSION:
            raise ModelFolderError(f"{path} has schema version {version!r}; this version reads {SCHEMA_VERSION}.")
        try:
            check_kind(values["kind"])
            encoder = EncoderInfo(**values["encoder"]) if values["kind"] == MINILM_LR else None
            temperature = float(values["calibration"]["temperature"])
            if not 0 < temperature < float("inf"):
                raise ValueError(f"the temperature is {temperature}")
            return cls(
                kind=values["kind"],
                labels=LabelSet(tuple(values["labels"])),
                temperature=temperature,
                prior=tuple(map(float, values["calibration"]["prior"])),
                thresholds=dict(values["thresholds"]),
                encoder=encoder,
                manifest_sha256=str(values.get("manifest_sha256", "")),
                results=values.get("results", {}),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ModelFolderError(f"{path} is damaged: {error}.") from error


def is_baseline_folder(folder: Path | str) -> bool:
    """Return whether the folder is a baseline's."""
    return (Path(folder) / CONFIG_FILE).is_file()


def save_folder(folder: Path, estimator: Any, config: BaselineConfig) -> None:
    """Write a new `folder`, whole or not at all."""
    skops = require("skops.io", "baselines")
    with new_folder(folder) as temporary:
        skops.dump(estimator, temporary / MODEL_FILE, compression=ZIP_DEFLATED)
        write_json(temporary / CONFIG_FILE, config.to_dict())


def read_config(folder: Path) -> BaselineConfig:
    """Read `baseline.json`; raise ModelFolderError where it is missing or damaged."""
    if not is_baseline_folder(folder):
        raise ModelFolderError(f"{folder} is not the folder of a baseline: {CONFIG_FILE} is missing.")
    return BaselineConfig.from_dict(read_json(folder / CONFIG_FILE, ModelFolderError), folder / CONFIG_FILE)


def read_estimator(folder: Path, config: BaselineConfig) -> Any:
    """Load the estimator in `folder`; raise ModelFolderError where it is not of `config`'s kind and labels."""
    skops = require("skops.io", "baselines")
    file = folder / MODEL_FILE
    if not file.is_file():
        raise ModelFolderError(f"{file} is missing; fit the baseline again.")
    try:
        unknown = sorted(set(skops.get_untrusted_types(file=file)) - set(TRUSTED_TYPES))
    # A damaged file may raise anything.
    except Exception as error:
        raise ModelFolderError(f"{file} is damaged ({type(error).__name__}); fit the baseline again.") from error
    if unknown:
        raise ModelFolderError(f"{file} has the type {unknown[0]}, which no baseline has; it is not loaded.")
    try:
        estimator = skops.load(file, trusted=list(TRUSTED_TYPES))
        width = config.encoder.size if config.encoder else None
        sample = np.zeros((1, width)) if width else np.array(["a question"], dtype=object)
        if raw_scores(estimator, sample).shape != (1, len(config.labels)):
            raise ValueError("another number of labels")
    except Exception as error:
        raise ModelFolderError(f"{file} is not a {config.kind} with {len(config.labels)} labels.") from error
    return estimator
