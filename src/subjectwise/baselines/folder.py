"""The baseline folder: `baseline.json` and `model.skops`, saved and loaded. Knows no questions.

An encoder's weights are not stored, only its name, hash and width. No pickle is loaded: skops refuses every type
that it does not know.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED

import numpy as np

from subjectwise.baselines.encoder import EncoderInfo, missing_library
from subjectwise.baselines.kinds import MINILM_LR, check_kind, raw_scores
from subjectwise.errors import ModelFolderError
from subjectwise.files import new_folder, read_json, write_json
from subjectwise.labels import LabelSet
from subjectwise.model_folder import library_versions

SCHEMA_VERSION = 1
CONFIG_FILE = "baseline.json"
MODEL_FILE = "model.skops"

# skops itself knows the types of scikit-learn, scipy and numpy; a baseline needs none beyond those.
TRUSTED_TYPES: tuple[str, ...] = ()


@dataclass(frozen=True)
class BaselineConfig:
    """The content of `baseline.json`.

    Attributes:
        temperature: divides the estimator's scores before they become probabilities.
        prior: the share of each label among the training rows, in label order.
        thresholds: confidence for a wanted accuracy on the validation rows; empty where there were none.
        encoder: what embeds the questions, where the kind has an encoder.
        results: figures measured on the validation rows; empty where there were none.
    """

    kind: str
    labels: LabelSet
    temperature: float
    prior: tuple[float, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    encoder: EncoderInfo | None = None
    manifest_sha256: str = ""
    results: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "kind": self.kind,
            "labels": list(self.labels),
            "calibration": {"temperature": self.temperature, "prior": list(self.prior)},
            "thresholds": dict(self.thresholds),
            "encoder": asdict(self.encoder) if self.encoder else None,
            "manifest_sha256": self.manifest_sha256,
            "versions": _versions(),
            "results": dict(self.results),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], place: Path) -> BaselineConfig:
        if values.get("schema_version") != SCHEMA_VERSION:
            found = values.get("schema_version")
            raise ModelFolderError(f"{place} has schema version {found!r}; this version reads {SCHEMA_VERSION}.")
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
            raise ModelFolderError(f"{place} is damaged: {error}.") from error


def is_baseline_folder(folder: Path | str) -> bool:
    return (Path(folder) / CONFIG_FILE).is_file()


def save_folder(folder: Path, estimator: Any, config: BaselineConfig) -> None:
    """Writes a new `folder`, whole or not at all."""
    try:
        from skops.io import dump
    except ImportError as error:
        raise missing_library("Saving a baseline", error) from error
    with new_folder(folder) as temporary:
        dump(estimator, temporary / MODEL_FILE, compression=ZIP_DEFLATED)
        write_json(temporary / CONFIG_FILE, config.to_dict())


def read_config(folder: Path) -> BaselineConfig:
    if not is_baseline_folder(folder):
        raise ModelFolderError(f"{folder} is not a baseline folder: it has no {CONFIG_FILE}.")
    return BaselineConfig.from_dict(read_json(folder / CONFIG_FILE, ModelFolderError), folder / CONFIG_FILE)


def read_estimator(folder: Path, config: BaselineConfig) -> Any:
    """The estimator in `folder`; ModelFolderError where it is not one of `config`'s kind and labels."""
    try:
        from skops.io import get_untrusted_types, load
    except ImportError as error:
        raise missing_library("Loading a baseline", error) from error
    file = folder / MODEL_FILE
    if not file.is_file():
        raise ModelFolderError(f"{file} is missing; fit the baseline anew.")
    try:
        foreign = sorted(set(get_untrusted_types(file=file)) - set(TRUSTED_TYPES))
    # What a damaged file raises is as open as what it may hold.
    except Exception as error:
        raise ModelFolderError(f"{file} is damaged ({type(error).__name__}); fit the baseline anew.") from error
    if foreign:
        raise ModelFolderError(f"{file} holds the type {foreign[0]}, which no baseline has; it is not loaded.")
    try:
        estimator = load(file, trusted=list(TRUSTED_TYPES))
        width = config.encoder.size if config.encoder else None
        sample = np.zeros((1, width)) if width else np.array(["a question"], dtype=object)
        if raw_scores(estimator, sample).shape != (1, len(config.labels)):
            raise ValueError("another number of labels")
    except Exception as error:
        raise ModelFolderError(f"{file} is not a {config.kind} of {len(config.labels)} labels.") from error
    return estimator


def _versions() -> dict[str, str]:
    found = library_versions()
    for name in ("scikit-learn", "skops", "sentence-transformers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
