"""The model folder: everything needed to answer again, saved and loaded. Knows no questions.

Weights are read as safetensors only. The adapter is plain LoRA with the keys that PEFT 0.17.1 knows, so that
servers and older versions load it without a warning. A classification head is saved with its adapter, as PEFT does;
where more than an adapter was trained, or less, the folder holds the whole model as transformers does.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from subjectwise.adapter import CONFIG_FILE as ADAPTER_CONFIG
from subjectwise.adapter import WEIGHTS_FILE, merge_adapter
from subjectwise.base_models import EMBEDDED, EMBEDDED_NAME, Base, BaseInfo, choose_dtype, load_base
from subjectwise.engines.output_head import check_head
from subjectwise.errors import DataError, ModelFolderError, RecipeError
from subjectwise.files import read_json, write_json
from subjectwise.heads import INSTRUCTION_TEMPLATE, HeadScorer, head_weights, prepare_head
from subjectwise.labels import LabelSet
from subjectwise.prompt import Prompt, instruction_template
from subjectwise.recipe import HeadSettings, PromptSettings, Recipe
from subjectwise.scoring import PYTORCH, LabelScorer, loading_dtype

SCHEMA_VERSION = 1
CONFIG_FILE = "subjectwise.json"
WORDS_FILE = "words.json"  # where mistyped words are mended
ADAPTER_FILES = (ADAPTER_CONFIG, WEIGHTS_FILE)
WHOLE_WEIGHTS_FILE = "model.safetensors"
WHOLE_FILES = ("config.json", WHOLE_WEIGHTS_FILE)
COMMON_FILES = (CONFIG_FILE, "label_mapping.json", "category_mapping.json", "tokenizer.json", "tokenizer_config.json")

# What LoraConfig of PEFT 0.17.1 writes; later versions know more keys, at defaults that change nothing here.
_PEFT_0_17_KEYS = frozenset(
    """
    alpha_pattern auto_mapping base_model_name_or_path bias corda_config eva_config exclude_modules fan_in_fan_out
    inference_mode init_lora_weights layer_replication layers_pattern layers_to_transform loftq_config lora_alpha
    lora_bias lora_dropout megatron_config megatron_core modules_to_save peft_type qalora_group_size r
    rank_pattern revision target_modules target_parameters task_type trainable_token_indices use_dora use_qalora
    use_rslora
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True)
class ModelConfig:
    """The content of `subjectwise.json`.

    Attributes:
        prefix: the rendered prompt before the seam; loading refuses a tokenizer that renders another.
        temperature: divides the log-probabilities before they become probabilities.
        prior: the share of each label among the training rows, in label order; empty where it was not kept.
        thresholds: confidence for a wanted accuracy on the validation rows, such as {"0.95": 0.71}; may be empty.
        results: figures measured on the validation rows at the end of training.
        head: the classification head; unused where the labels are scored.
        words: how many training rows have each word, where mistyped words are mended; in a file of its own.
    """

    base: BaseInfo
    prompt: PromptSettings
    prefix: str
    labels: LabelSet
    temperature: float
    recipe: Recipe
    manifest_sha256: str
    prior: tuple[float, ...] = ()
    thresholds: Mapping[str, float] = field(default_factory=dict)
    results: Mapping[str, Any] = field(default_factory=dict)
    head: HeadSettings = field(default_factory=HeadSettings)
    words: Mapping[str, int] = field(default_factory=dict)

    @property
    def weights_file(self) -> str:
        return WHOLE_WEIGHTS_FILE if self.head.whole else WEIGHTS_FILE

    @property
    def template(self) -> str:
        """What the model reads, with `{question}` left open, before any chat template."""
        return INSTRUCTION_TEMPLATE if self.head.used else instruction_template(self.prompt.style, self.labels)

    def to_dict(self) -> dict[str, Any]:
        return {
            "schema_version": SCHEMA_VERSION,
            "base": asdict(self.base),
            **({"head": asdict(self.head)} if self.head.used else {}),
            "prompt": {**self.prompt.to_dict(), "prefix": self.prefix},
            "labels": list(self.labels),
            "calibration": {"temperature": self.temperature, "prior": list(self.prior)},
            "thresholds": dict(self.thresholds),
            "recipe": self.recipe.to_dict(),
            "manifest_sha256": self.manifest_sha256,
            "versions": library_versions(),
            "results": dict(self.results),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], place: Path) -> ModelConfig:
        if values.get("schema_version") != SCHEMA_VERSION:
            found = values.get("schema_version")
            raise ModelFolderError(f"{place} has schema version {found!r}; this version reads {SCHEMA_VERSION}.")
        try:
            prompt = dict(values["prompt"])
            prefix = str(prompt.pop("prefix"))
            return cls(
                base=BaseInfo(**values["base"]),
                prompt=PromptSettings(**prompt),
                prefix=prefix,
                labels=LabelSet(tuple(values["labels"])),
                temperature=float(values["calibration"]["temperature"]),
                recipe=Recipe.from_dict(values["recipe"]),
                manifest_sha256=str(values["manifest_sha256"]),
                prior=tuple(map(float, values["calibration"].get("prior", ()))),
                thresholds=values.get("thresholds", {}),
                results=values.get("results", {}),
                head=HeadSettings(**values.get("head", {})),
            )
        except (KeyError, TypeError, ValueError, DataError, RecipeError) as error:
            raise ModelFolderError(f"{place} is damaged: {error}.") from error


@dataclass(frozen=True)
class LoadedModel:
    """A model ready to score, any adapter merged into its base."""

    scorer: LabelScorer | HeadScorer
    config: ModelConfig
    warning: str = ""


def shipped_folder() -> Path:
    """The model folder inside the package."""
    return Path(str(resources.files("subjectwise") / "model"))


def library_versions() -> dict[str, str]:
    """Versions of what the figures depend on."""
    found = {"python": platform.python_version()}
    for name in ("subjectwise", "torch", "transformers", "peft", "tokenizers"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def save_model(folder: Path, model: Any, tokenizer: Any, config: ModelConfig) -> None:
    """Writes every file of the model folder into an existing, empty `folder`."""
    if config.head.whole:
        model.save_pretrained(folder, max_shard_size="1TB")  # one file, whose hash tells the model from others
    else:
        _save_adapter(folder, model, config)
    save_tokenizer(folder, tokenizer)
    write_config(folder, config)
    names = list(config.labels)
    write_json(
        folder / "label_mapping.json",
        {
            "label2id": {name: number for number, name in enumerate(names)},
            "id2label": {str(number): name for number, name in enumerate(names)},
            "instruction_template": config.template,
        },
    )
    described = {"category_descriptions": dict(config.labels.descriptions)} if config.labels.descriptions else {}
    write_json(
        folder / "category_mapping.json",
        {
            "category_to_idx": {name: number for number, name in enumerate(names)},
            "idx_to_category": {str(number): name for number, name in enumerate(names)},
            **described,
        },
    )


def _save_adapter(folder: Path, model: Any, config: ModelConfig) -> None:
    from peft.utils import get_peft_model_state_dict
    from safetensors.torch import save_file

    weights = {
        name: tensor.detach().to("cpu", torch.bfloat16 if ".lora_" in name else torch.float32).contiguous()
        for name, tensor in get_peft_model_state_dict(model).items()
    }
    save_file(weights, folder / WEIGHTS_FILE, metadata={"format": "pt"})
    adapter = model.peft_config["default"]
    known = {key: value for key, value in adapter.to_dict().items() if key in _PEFT_0_17_KEYS}
    known |= {"inference_mode": True, "base_model_name_or_path": public_name(config.base.name)}
    known["target_modules"] = sorted(adapter.target_modules)
    if adapter.modules_to_save:
        known["modules_to_save"] = sorted(set(adapter.modules_to_save))
    write_json(folder / ADAPTER_CONFIG, {key: _plain(value) for key, value in sorted(known.items())})


def save_tokenizer(folder: Path, tokenizer: Any) -> None:
    """Writes the tokenizer so that transformers 4 reads it too: its class by the name that both versions know."""
    tokenizer.save_pretrained(folder)
    file = folder / "tokenizer_config.json"
    kept = read_json(file, ModelFolderError)
    if kept.get("tokenizer_class") == "TokenizersBackend":
        for key in ("backend", "is_local", "local_files_only"):
            kept.pop(key, None)
        write_json(file, {**kept, "tokenizer_class": "PreTrainedTokenizerFast"})


def write_config(folder: Path, config: ModelConfig) -> None:
    """Writes `subjectwise.json`, and the words that it needs before it."""
    if config.prompt.mends:
        write_json(folder / WORDS_FILE, dict(config.words))
    write_json(folder / CONFIG_FILE, config.to_dict())
    if not config.prompt.mends:
        (folder / WORDS_FILE).unlink(missing_ok=True)


def read_config(folder: Path) -> ModelConfig:
    """The configuration of a model folder that is whole.

    Raises:
        ModelFolderError: it is not a model folder, or a file is missing, a pickle, damaged or at odds with another.
    """
    if not folder.is_dir():
        raise ModelFolderError(f"There is no model folder {folder}.")
    _check_files(folder, COMMON_FILES)
    config = ModelConfig.from_dict(read_json(folder / CONFIG_FILE, ModelFolderError), folder / CONFIG_FILE)
    _check_files(folder, WHOLE_FILES if config.head.whole else ADAPTER_FILES)
    if config.head.whole and (folder / ADAPTER_CONFIG).exists():
        raise ModelFolderError(
            f"{folder} holds a whole model and an adapter; remove the one that does not belong there."
        )
    mapping = read_json(folder / "label_mapping.json", ModelFolderError)
    if list(mapping.get("label2id", {})) != list(config.labels):
        raise ModelFolderError(f"{folder}: label_mapping.json and {CONFIG_FILE} name different labels.")
    categories = read_json(folder / "category_mapping.json", ModelFolderError)
    if list(categories.get("category_to_idx", {})) != list(config.labels):
        raise ModelFolderError(f"{folder}: category_mapping.json and {CONFIG_FILE} name different labels.")
    descriptions = categories.get("category_descriptions")
    if descriptions:
        config = replace(config, labels=LabelSet(config.labels.names, descriptions))
    return replace(config, words=_read_words(folder)) if config.prompt.mends else config


def _read_words(folder: Path) -> dict[str, int]:
    _check_files(folder, [WORDS_FILE])
    words = read_json(folder / WORDS_FILE, ModelFolderError)
    if not all(isinstance(count, int) for count in words.values()):
        raise ModelFolderError(f"{folder / WORDS_FILE} is damaged: it must hold a whole number for each word.")
    return words


def _check_files(folder: Path, names: Sequence[str]) -> None:
    missing = [name for name in names if not (folder / name).is_file()]
    for name in missing:
        pickled = list(folder.glob(f"{Path(name).stem}.*")) if name.endswith(".safetensors") else []
        if pickled:
            found = pickled[0].name
            raise ModelFolderError(
                f"{folder} holds its weights as {found}, which is not loaded; save them as safetensors."
            )
    if missing:
        raise ModelFolderError(f"{folder} is not a whole model folder; it lacks {', '.join(missing)}.")


def load_model(
    folder: Path,
    *,
    base: str | None = None,
    device: str = "auto",
    dtype: str = "auto",
    engine: str = PYTORCH,
    config: ModelConfig | None = None,
) -> LoadedModel:
    """Loads the base, merges the adapter into it and checks that the two belong together.

    Args:
        folder: the model folder.
        base: where the base is, when it is not where the folder says (an offline copy, say). A folder that holds the
            whole model asks for none.
        device, dtype: as in `load_base`.
        engine: as in `make_engine`; a classification head is read by `pytorch`.
        config: what the folder shall say from now on, when not what it says.

    Raises:
        ModelFolderError: the folder is not whole, or the base has another shape, tokenizer or prompt.
        BaseModelError: the base cannot be loaded.
    """
    config = config or read_config(folder)
    labels = config.labels.names if config.head.used else ()
    if config.head.used and engine != PYTORCH:
        raise ModelFolderError(f"{folder} holds a classification head, which only --engine {PYTORCH} reads.")
    if config.head.whole:
        loaded = load_base(str(folder), device=device, dtype=dtype, labels=labels)
        if loaded.new:
            raise ModelFolderError(f"{folder} is damaged: {WHOLE_WEIGHTS_FILE} has no {loaded.new[0]} that fits.")
        return LoadedModel(_head_scorer(loaded, config), config)
    loaded = load_base(
        base or config.base.name, device=device, dtype=loading_dtype(engine, dtype),
        revision=None if base else config.base.revision or None, labels=labels,
    )  # fmt: skip
    tokenizer = load_tokenizer(folder)
    warning = check_base(folder, config.base, loaded, tokenizer)
    model = loaded.model
    if config.head.used:
        scorer = _head_scorer(replace(loaded, tokenizer=tokenizer), config)
        merge_adapter(model, folder, head_weights(loaded))
        return LoadedModel(scorer, config, warning)
    merge_adapter(model, folder)
    model.eval()
    check_head(model)
    prompt = Prompt(tokenizer, config.labels, config.prompt, words=config.words)
    if prompt.prefix != config.prefix:
        raise ModelFolderError(f"The prompt of {folder} renders differently here; its tokenizer has been changed.")
    precision = choose_dtype(model.device, dtype)
    return LoadedModel(LabelScorer(model, prompt, engine, precision), config, warning)


def _head_scorer(loaded: Base, config: ModelConfig) -> HeadScorer:
    prepare_head(loaded, config.head)
    return HeadScorer(loaded, config.labels, config.prompt, config.head)


def check_base(folder: Path, wanted: BaseInfo, loaded: Base, tokenizer: Any) -> str:
    """Refuses a base of another shape; returns a warning for one of the same shape but other weights."""
    for name in ("hidden_size", "vocab_size"):
        have, want = getattr(loaded.info, name), getattr(wanted, name)
        if have != want:
            raise ModelFolderError(
                f"{folder} was trained on {wanted.name} with {name} {want}; {loaded.info.name} has {have}."
            )
    if tokenizer.get_vocab() != loaded.tokenizer.get_vocab():
        raise ModelFolderError(
            f"{folder} has another tokenizer than {loaded.info.name}; give the base it was trained on."
        )
    if wanted.sha256 and loaded.info.sha256 and wanted.sha256 != loaded.info.sha256:
        return (
            f"{loaded.info.name} has the right shape but other weights than the base that {folder.name} was trained on "
            "(a quantised copy, say); expect slightly different probabilities."
        )
    return ""


def load_tokenizer(folder: Path) -> Any:
    from transformers import AutoTokenizer

    try:
        return AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    except (OSError, ValueError, KeyError) as error:
        raise ModelFolderError(f"The tokenizer in {folder} cannot be read; it is damaged.") from error


def public_name(base: str) -> str:
    """The base's name for other programs: no path of the machine that trained it."""
    if base == EMBEDDED:
        return EMBEDDED_NAME
    return Path(base).name if Path(base).exists() else base


def _plain(value: Any) -> Any:
    return json.loads(json.dumps(value, default=lambda item: sorted(item) if isinstance(item, set) else str(item)))
