"""The content of `subjectwise.json`: what a model folder says of itself, read, checked and written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from subjectwise.errors import DataError, ModelFolderError, RecipeError
from subjectwise.labels import LabelSet
from subjectwise.models.base_info import BaseInfo
from subjectwise.models.lora import CONFIG_FILE as ADAPTER_CONFIG
from subjectwise.models.lora import WEIGHTS_FILE as ADAPTER_WEIGHTS
from subjectwise.recipe import SPELLINGS, HeadSettings, PromptSettings, build_settings
from subjectwise.statistics.scope import ScopeCalibration
from subjectwise.text.prompt import QUESTION_SLOT, instruction_template
from subjectwise.types import JsonObject
from subjectwise.utils.atomic_files import files_sha256, read_json, write_json
from subjectwise.utils.versions import library_versions

SCHEMA_VERSION = 1
CONFIG_FILE = "subjectwise.json"
VOCABULARY_FILE = "words.json"  # where spelling is corrected
ADAPTER_FILES = (ADAPTER_CONFIG, ADAPTER_WEIGHTS)
WHOLE_WEIGHTS_FILE = "model.safetensors"
WHOLE_FILES = ("config.json", WHOLE_WEIGHTS_FILE)
SENTENCE_FOLDER = "sentences"  # an adapter that writes sentences, where the model has one
FAST_FOLDER = "fast"  # a fast model that answers what it is sure of, where the model has one
COMMON_FILES = (CONFIG_FILE, "label_mapping.json", "category_mapping.json", "tokenizer.json", "tokenizer_config.json")

# Settings of 0.1.0 that brought the known faults of a head back. Only `pooling` changed how a trained one was read.
_REMOVED_HEAD_SETTINGS = ("train_head", "pooling", "pad_token")


@dataclass(frozen=True)
class ModelConfig:
    """The content of `subjectwise.json`.

    Attributes:
        base: what the model was trained on.
        prompt: how a question is shown to it.
        prefix: the rendered prompt before the boundary; loading refuses a tokenizer that renders another.
        labels: in the order of its answers.
        temperature: divides the log-probabilities before they become probabilities.
        recipe: all settings of the training run, as it was given.
        manifest_sha256: of the split folder that it was trained on.
        prior: the share of each label among the training rows, in label order; empty where it was not kept.
        thresholds: confidence for a wanted accuracy on the validation rows, such as {"0.95": 0.71}; may be empty.
        results: what was measured at the end of training, and the reports kept since.
        head: the classification head; unused where labels are scored.
        words: the training vocabulary for spelling correction; in a file of its own.
        warning: one sentence where a setting of an earlier version no longer has an effect; else empty.
        scope: how well the answer for requests that belong to no label is calibrated; None where there is none.
    """

    base: BaseInfo
    prompt: PromptSettings
    prefix: str
    labels: LabelSet
    temperature: float
    recipe: JsonObject
    manifest_sha256: str
    prior: tuple[float, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    results: JsonObject = field(default_factory=dict)
    head: HeadSettings = field(default_factory=HeadSettings)
    words: Mapping[str, int] = field(default_factory=dict)
    warning: str = ""
    scope: ScopeCalibration | None = None

    @property
    def weights_file(self) -> str:
        """The name of the file of weights."""
        return WHOLE_WEIGHTS_FILE if self.head.whole else ADAPTER_WEIGHTS

    @property
    def template(self) -> str:
        """What the model reads, with `{question}` left open, before any chat template."""
        return QUESTION_SLOT if self.head.used else instruction_template(self.prompt.style, self.labels)

    def to_dict(self) -> JsonObject:
        """Return the content of the file."""
        return {
            "schema_version": SCHEMA_VERSION,
            "base": {**asdict(self.base), "name": self.base.shared_name},
            **({"head": asdict(self.head)} if self.head.used else {}),
            "prompt": {**self.prompt.to_dict(), "prefix": self.prefix},
            "labels": list(self.labels),
            "calibration": {
                "temperature": self.temperature,
                "prior": list(self.prior),
                **({"in_scope": asdict(self.scope)} if self.scope else {}),
            },
            "thresholds": dict(self.thresholds),
            "recipe": self._shared(self.recipe),
            "manifest_sha256": self.manifest_sha256,
            "versions": library_versions(),
            "results": self._shared(self.results),
        }

    def _shared(self, value: Any) -> Any:
        """Return a recipe, or results with recipes in them, without the path of the base."""
        if isinstance(value, dict):
            return {key: self._shared(item) for key, item in value.items()}
        if isinstance(value, list):
            return [self._shared(item) for item in value]
        return self.base.shared_name if value == self.base.name else value

    @classmethod
    def from_dict(cls, values: JsonObject, path: Path) -> ModelConfig:
        """Build it from the content of the file at `path`; raise ModelFolderError where that is damaged."""
        version = values.get("schema_version")
        if version != SCHEMA_VERSION:
            raise ModelFolderError(f"{path} has schema version {version!r}; this version reads {SCHEMA_VERSION}.")
        try:
            prompt = dict(values["prompt"])
            prefix = str(prompt.pop("prefix"))
            head = dict(values.get("head", {}))
            removed = {key: head.pop(key) for key in _REMOVED_HEAD_SETTINGS if key in head}
            return cls(
                base=BaseInfo(**values["base"]),
                prompt=build_settings(PromptSettings, prompt, "prompt."),
                prefix=prefix,
                labels=LabelSet(tuple(values["labels"])),
                temperature=float(values["calibration"]["temperature"]),
                recipe=dict(values["recipe"]),
                manifest_sha256=str(values["manifest_sha256"]),
                prior=tuple(map(float, values["calibration"].get("prior", ()))),
                thresholds=values.get("thresholds", {}),
                results=values.get("results", {}),
                head=build_settings(HeadSettings, head, "head."),
                warning=_pooling_warning(removed),
                scope=_read_scope(values["calibration"].get("in_scope")),
            )
        except (KeyError, TypeError, ValueError, DataError, RecipeError) as error:
            raise ModelFolderError(f"{path} is damaged: {error}.") from error


def _read_scope(values: JsonObject | None) -> ScopeCalibration | None:
    return None if values is None else build_settings(ScopeCalibration, values, "calibration.in_scope.")


def _pooling_warning(removed: JsonObject) -> str:
    pooling = removed.get("pooling", "auto")
    if pooling == "auto":
        return ""
    return (
        f"This head was trained with head.pooling={pooling}, which no longer exists; it is read at each row's last "
        "token, and its answers differ."
    )


def write_config(folder: Path, config: ModelConfig) -> None:
    """Write `subjectwise.json`, without paths, and before it the vocabulary for spelling correction, if any."""
    if config.words or config.prompt.corrects_spelling:
        write_json(folder / VOCABULARY_FILE, dict(config.words))
    write_json(folder / CONFIG_FILE, config.to_dict())


def read_config(folder: Path, spelling: str | None = None) -> ModelConfig:
    """Read the configuration of a complete model folder.

    Args:
        folder: of the model.
        spelling: in place of its `prompt.spelling`; None leaves it as it is.

    Raises:
        ModelFolderError: it is not a model folder, or a file is missing, a pickle, damaged or contradicts another; or
            spelling is to be corrected for a classification head, or without a vocabulary.
    """
    if not folder.is_dir():
        raise ModelFolderError(f"Unknown model folder {folder}; give an existing folder.")
    _check_files(folder, COMMON_FILES)
    config = ModelConfig.from_dict(read_json(folder / CONFIG_FILE, ModelFolderError), folder / CONFIG_FILE)
    _check_files(folder, WHOLE_FILES if config.head.whole else ADAPTER_FILES)
    if config.head.whole and (folder / ADAPTER_CONFIG).exists():
        raise ModelFolderError(f"{folder} has a whole model and an adapter; remove the one that does not belong there.")
    mapping = read_json(folder / "label_mapping.json", ModelFolderError)
    if list(mapping.get("label2id", {})) != list(config.labels):
        raise ModelFolderError(f"{folder}: label_mapping.json and {CONFIG_FILE} have different labels.")
    categories = read_json(folder / "category_mapping.json", ModelFolderError)
    if list(categories.get("category_to_idx", {})) != list(config.labels):
        raise ModelFolderError(f"{folder}: category_mapping.json and {CONFIG_FILE} have different labels.")
    descriptions = categories.get("category_descriptions")
    if descriptions:
        config = replace(config, labels=LabelSet(config.labels.names, descriptions))
    if spelling is not None:
        config = correcting(config, spelling)
        if config.prompt.corrects_spelling and not (folder / VOCABULARY_FILE).is_file():
            raise ModelFolderError(
                f"{folder} has no vocabulary, which spelling correction needs; "
                f"run: subjectwise calibrate {folder} --data SPLIT --spelling none"
            )
    return replace(config, words=_read_vocabulary(folder)) if config.prompt.corrects_spelling else config


def correcting(config: ModelConfig, spelling: str) -> ModelConfig:
    """Return `config` with another `prompt.spelling`.

    Raises:
        ModelFolderError: it is an unknown language, or a head would read corrected text.
    """
    if spelling not in SPELLINGS:
        raise ModelFolderError(f"Unknown spelling {spelling!r}; choose one of {', '.join(SPELLINGS)}.")
    prompt = replace(config.prompt, spelling=spelling)
    if prompt.corrects_spelling and config.head.used:
        raise ModelFolderError("Cannot correct spelling for a classification head, which reads questions as typed.")
    return replace(config, prompt=prompt)


def description_sha256(folder: Path) -> str:
    """Return the hash of what a model folder says of itself: prompt, labels, calibration, vocabulary."""
    files = (folder / name for name in (CONFIG_FILE, VOCABULARY_FILE))
    return files_sha256([file for file in files if file.is_file()])


def _read_vocabulary(folder: Path) -> dict[str, int]:
    _check_files(folder, [VOCABULARY_FILE])
    words = read_json(folder / VOCABULARY_FILE, ModelFolderError)
    if not all(isinstance(count, int) for count in words.values()):
        raise ModelFolderError(f"{folder / VOCABULARY_FILE} is damaged: each word needs a whole number.")
    return words


def _check_files(folder: Path, names: Sequence[str]) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    for name in missing:
        pickled = list(folder.glob(f"{Path(name).stem}.*")) if name.endswith(".safetensors") else []
        if pickled:
            raise ModelFolderError(
                f"The weights in {folder} are {pickled[0].name}, which is not loaded; save them as safetensors."
            )
    if missing:
        raise ModelFolderError(f"{folder} is not a complete model folder; it lacks {', '.join(missing)}.")
