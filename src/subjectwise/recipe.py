"""A run as dataclasses, to and from YAML. Knows what may be set, not how anything is done with it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

import yaml

from subjectwise.errors import RecipeError
from subjectwise.spelling import LANGUAGES

STYLES = ("plain", "chat", "bare")
LOSSES = ("label", "answer", "sequence")
SHARING = ("auto", "on", "off")
TUNES = ("none", "lora", "full", "frozen")
POOLINGS = ("auto", "row_end")
QUANTIZATIONS = ("none", "nf4")
SPELLINGS = ("none", *LANGUAGES)
AUGMENTATIONS = ("none", "typos", "noise")
SEVEN_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

_T = TypeVar("_T")


def _check(condition: bool, name: str, value: object, wanted: str) -> None:
    if not condition:
        raise RecipeError(f"{name} is {value!r}; it must be {wanted}.")


@dataclass(frozen=True)
class PromptSettings:
    style: str = "bare"  # plain (the reference's template), chat (the same as a chat turn) or bare
    with_options: bool = False  # whether the answer options are shown to the model
    max_tokens: int = 256  # longest question with its options and the end of the template; the middle is cut
    spelling: str = "none"  # en, or another language whose mistyped words are mended before the model reads them

    def __post_init__(self) -> None:
        _check(self.style in STYLES, "prompt.style", self.style, f"one of {', '.join(STYLES)}")
        _check(self.max_tokens >= 16, "prompt.max_tokens", self.max_tokens, "at least 16")
        _check(self.spelling in SPELLINGS, "prompt.spelling", self.spelling, f"one of {', '.join(SPELLINGS)}")

    @property
    def mends(self) -> bool:
        """Whether mistyped words are mended."""
        return self.spelling != "none"

    def to_dict(self) -> dict[str, Any]:
        """Plain values; a setting that older versions do not know only where it is used."""
        plain = asdict(self)
        if not self.mends:
            del plain["spelling"]
        return plain


@dataclass(frozen=True)
class LoraSettings:
    r: int = 16  # rank
    alpha: float = 32  # the adapter's output is scaled by alpha / r
    dropout: float = 0.0  # on the adapter's input
    target_modules: tuple[str, ...] = SEVEN_PROJECTIONS  # the linear layers that are adapted
    quantize: str = "none"  # nf4: the base in 4 bits while the adapter is trained (QLoRA, Dettmers et al. 2023)

    def __post_init__(self) -> None:
        _check(self.r >= 1, "lora.r", self.r, "at least 1")
        _check(self.alpha > 0, "lora.alpha", self.alpha, "above 0")
        _check(0 <= self.dropout < 1, "lora.dropout", self.dropout, "from 0 up to, not including, 1")
        _check(len(self.target_modules) > 0, "lora.target_modules", self.target_modules, "one name at least")
        _check(self.quantize in QUANTIZATIONS, "lora.quantize", self.quantize, f"one of {', '.join(QUANTIZATIONS)}")


@dataclass(frozen=True)
class HeadSettings:
    """A classification head in place of scored labels. All but `tune` are there to measure what usual faults cost."""

    tune: str = "none"  # none: no head; lora: an adapter and the head; full: every weight; frozen: the head alone
    train_head: bool = True  # false leaves the head at its random first values
    pooling: str = "auto"  # auto: a decoder's last token, an encoder's own way; row_end: the end of the padded row
    pad_token: bool = True  # false: a decoder without pad token, which transformers lets read one row at a time only

    def __post_init__(self) -> None:
        _check(self.tune in TUNES, "head.tune", self.tune, f"one of {', '.join(TUNES)}")
        _check(self.pooling in POOLINGS, "head.pooling", self.pooling, f"one of {', '.join(POOLINGS)}")
        wanted = "true where head.tune is frozen, since nothing would be trained"
        _check(self.train_head or self.tune != "frozen", "head.train_head", self.train_head, wanted)
        alone = self.train_head and self.pooling == "auto" and self.pad_token
        _check(self.used or alone, "head.tune", self.tune, "lora, full or frozen where another setting of head is made")

    @property
    def used(self) -> bool:
        return self.tune != "none"

    @property
    def whole(self) -> bool:
        """Whether the model folder holds every weight, and not an adapter to a base."""
        return self.tune in ("full", "frozen")


@dataclass(frozen=True)
class TrainingSettings:
    loss: str = "label"  # label: what scoring reads; answer: all of the label and its end; sequence: the whole text
    epochs: int = 5
    learning_rate: float = 3e-4  # at its peak; cosine to zero
    warmup: float = 0.05  # share of the steps that the rate takes to rise
    weight_decay: float = 0.0
    batch_size: int = 16  # rows read at once
    gradient_accumulation: int = 1  # batches a step
    max_grad_norm: float = 1.0
    seed: int = 42
    patience: int = 2  # epochs without a lower validation NLL before training stops
    options_share: float = 0.0  # share of the rows shown with their options, drawn anew each epoch
    option_halves: int = 0  # further views of those rows: random halves of their options, shuffled
    label_smoothing: float = 0.0  # share of the target spread over the labels, against labels learnt by heart
    augment: str = (
        "none"  # typos: half of the rows mistyped, anew each epoch; noise: or in capitals, without spaces, ...
    )
    validation_rows: int = 0  # rows that choose the epoch, drawn once with the seed; 0 for all
    share_prefix: str = "auto"  # run the prompt's prefix once a batch: auto (where it is long), on, off
    compile: bool = False  # compile each layer; pays on long runs
    checkpoint_steps: int = 200  # steps between checkpoints within an epoch; a killed run goes on from the last

    def __post_init__(self) -> None:
        _check(self.loss in LOSSES, "training.loss", self.loss, f"one of {', '.join(LOSSES)}")
        _check(self.augment in AUGMENTATIONS, "training.augment", self.augment, f"one of {', '.join(AUGMENTATIONS)}")
        _check(self.share_prefix in SHARING, "training.share_prefix", self.share_prefix, "auto, on or off")
        for name in ("epochs", "batch_size", "gradient_accumulation", "patience", "checkpoint_steps"):
            _check(getattr(self, name) >= 1, f"training.{name}", getattr(self, name), "at least 1")
        _check(self.learning_rate > 0, "training.learning_rate", self.learning_rate, "above 0")
        _check(0 <= self.warmup < 1, "training.warmup", self.warmup, "from 0 up to, not including, 1")
        _check(self.weight_decay >= 0, "training.weight_decay", self.weight_decay, "0 or more")
        _check(self.max_grad_norm > 0, "training.max_grad_norm", self.max_grad_norm, "above 0")
        _check(0 <= self.options_share <= 1, "training.options_share", self.options_share, "from 0 to 1")
        _check(self.option_halves >= 0, "training.option_halves", self.option_halves, "0 or more")
        wanted = "from 0 up to, not including, 1"
        _check(0 <= self.label_smoothing < 1, "training.label_smoothing", self.label_smoothing, wanted)
        _check(self.validation_rows >= 0, "training.validation_rows", self.validation_rows, "0 or more")


@dataclass(frozen=True)
class Recipe:
    """All settings of a training run. Build one with `load_recipe`."""

    name: str = "custom"
    description: str = ""
    base: str = "embedded"  # embedded, a Hub name, a folder or a GGUF file
    prompt: PromptSettings = field(default_factory=PromptSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)
    head: HeadSettings = field(default_factory=HeadSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)

    def __post_init__(self) -> None:
        if not self.head.used:
            return
        training, style, quantize = self.training, self.prompt.style, self.lora.quantize
        wanted = f"none where head.tune is {self.head.tune}, which trains no adapter"
        _check(quantize == "none" or not self.head.whole, "lora.quantize", quantize, wanted)
        _check(style == "bare", "prompt.style", style, "bare for a head, which reads the question alone")
        _check(not self.prompt.mends, "prompt.spelling", self.prompt.spelling, "none for a head")
        _check(training.loss == "label", "training.loss", training.loss, "label for a head")
        wanted = "1 where head.pad_token is false: transformers refuses more rows at once without a pad token"
        _check(self.head.pad_token or training.batch_size == 1, "training.batch_size", training.batch_size, wanted)

    def to_dict(self) -> dict[str, Any]:
        """Plain values; settings that older versions do not know only where they are used."""
        plain = {**self._all_settings(), "prompt": self.prompt.to_dict()}
        if self.lora.quantize == "none":
            del plain["lora"]["quantize"]
        if self.training.augment == "none":
            del plain["training"]["augment"]
        if not self.head.used:
            del plain["head"]
        return plain

    def _all_settings(self) -> dict[str, Any]:
        plain: dict[str, Any] = asdict(self)
        plain["lora"]["target_modules"] = list(self.lora.target_modules)
        return plain

    def to_yaml(self) -> str:
        return yaml.safe_dump(self.to_dict(), sort_keys=False, allow_unicode=True)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Recipe:
        """Builds a recipe; RecipeError names an unknown key, with the nearest known one, or a bad value."""
        return _build(cls, values, "")

    def with_settings(self, assignments: Iterable[str]) -> Recipe:
        """A copy with `section.key=value` assignments applied; values are read as YAML."""
        values = self._all_settings()
        for assignment in assignments:
            key, equals, text = assignment.partition("=")
            if not equals:
                raise RecipeError(f"The setting {assignment!r} has no value; write key=value, as in training.epochs=3.")
            *path, last = key.strip().split(".")
            section = values
            for part in path:
                section = section.get(part, {})
                if not isinstance(section, dict):
                    raise RecipeError(f"{key!r} is not a setting; {part!r} holds a single value.")
            if last not in section:
                raise RecipeError(f"{key!r} is not a setting{_nearest(key.strip(), _all_keys(values))}.")
            section[last] = yaml.safe_load(text)
        return Recipe.from_dict(values)


def shipped_recipes() -> list[str]:
    """Names of the recipes in the package."""
    folder = resources.files("subjectwise") / "recipes"
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def load_recipe(name: str | Path, assignments: Iterable[str] = ()) -> Recipe:
    """Reads a shipped recipe by name or any recipe file by path, and applies `key=value` assignments.

    Raises:
        RecipeError: no such recipe, an unknown key or a value out of range.
    """
    path = Path(name)
    if str(name) in shipped_recipes():
        text = (resources.files("subjectwise") / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
    elif path.is_file():
        text = path.read_text(encoding="utf-8")
    else:
        raise RecipeError(
            f"There is no recipe {str(name)!r}; name a YAML file or one of {', '.join(shipped_recipes())}."
        )
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"The recipe {name} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise RecipeError(f"The recipe {name} must hold 'key: value' lines.")
    return replace(Recipe.from_dict(values), name=path.stem).with_settings(assignments)


def _all_keys(values: Mapping[str, Any], start: str = "") -> list[str]:
    keys: list[str] = []
    for key, value in values.items():
        keys += _all_keys(value, f"{start}{key}.") if isinstance(value, dict) else [f"{start}{key}"]
    return keys


def _nearest(key: str, known: Iterable[str]) -> str:
    by_end = {name.rsplit(".", 1)[-1]: name for name in known}
    found = difflib.get_close_matches(key.rsplit(".", 1)[-1], by_end, n=1, cutoff=0.5)
    return f"; the nearest one is {by_end[found[0]]!r}" if found else ""


def _build(cls: type[_T], values: Mapping[str, Any], start: str) -> _T:
    """Builds the dataclass `cls` from plain values, checking keys and types; `start` is the dotted path to it."""
    assert is_dataclass(cls)
    hints = get_type_hints(cls)
    known = [item.name for item in fields(cls)]
    built: dict[str, Any] = {}
    kind: Any
    for key, value in values.items():
        name, kind = f"{start}{key}", hints.get(str(key))
        if kind is None:
            raise RecipeError(f"{name!r} is not a setting{_nearest(str(key), [start + item for item in known])}.")
        if isinstance(kind, type) and is_dataclass(kind):
            if not isinstance(value, Mapping):
                raise RecipeError(f"{name} must hold settings of its own, as in {name}.{fields(kind)[0].name}.")
            built[key] = _build(kind, value, f"{name}.")
        else:
            built[key] = _as_kind(kind, value, name)
    return cls(**built)


def _as_kind(kind: Any, value: Any, name: str) -> Any:
    """`value` as the type of its field. YAML reads 3e-4 as text and 1 as a whole number; both are meant as numbers."""
    if kind is float and isinstance(value, str):
        try:
            return float(value)
        except ValueError:
            pass
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value
    if kind in (str, bool) and isinstance(value, kind):
        return value
    if get_args(kind) and isinstance(value, (list, tuple)) and all(isinstance(item, str) for item in value):
        return tuple(value)
    wanted = {float: "a number", int: "a whole number", str: "text", bool: "true or false"}.get(kind, "a list of names")
    raise RecipeError(f"{name} is {value!r}; it must be {wanted}.")
