"""The settings of a training run as dataclasses, read from and written to YAML. Knows no training."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any, TypeVar, get_args, get_type_hints

from subjectwise.errors import RecipeError
from subjectwise.types import JsonObject

STYLES = ("plain", "chat", "bare")
LOSSES = ("label", "answer")
SHARING = ("auto", "on", "off")
TUNES = ("none", "lora", "full", "frozen")
QUANTIZATIONS = ("none", "nf4")
# The languages of pyspellchecker's dictionaries.
LANGUAGES = ("ar", "de", "en", "es", "eu", "fa", "fr", "it", "lv", "nl", "pt", "ru")
SPELLINGS = ("none", *LANGUAGES)
AUGMENTATIONS = ("none", "typos", "noise")
SEVEN_PROJECTIONS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")

_T = TypeVar("_T")


def _check(condition: bool, name: str, value: object, wanted: str) -> None:
    if not condition:
        raise RecipeError(f"{name} is {value!r}; it must be {wanted}.")


@dataclass(frozen=True)
class PromptSettings:
    """How a question is shown to the model."""

    style: str = "bare"  # plain (the reference's template), chat (the same as a chat turn) or bare
    with_options: bool = False  # whether the model is shown the answer options
    max_tokens: int = 256  # longest question with its options and the end of the template; the middle is cut
    spelling: str = "none"  # en, or another language whose spelling is corrected before the model reads the question
    out_of_scope: bool = False  # whether "none" is an answer as well, for requests that belong to none of the labels

    def __post_init__(self) -> None:
        _check(self.style in STYLES, "prompt.style", self.style, f"one of {', '.join(STYLES)}")
        _check(self.max_tokens >= 16, "prompt.max_tokens", self.max_tokens, "at least 16")
        _check(self.spelling in SPELLINGS, "prompt.spelling", self.spelling, f"one of {', '.join(SPELLINGS)}")

    @property
    def corrects_spelling(self) -> bool:
        """Whether spelling is corrected."""
        return self.spelling != "none"

    def to_dict(self) -> JsonObject:
        """Return plain values; a setting that older versions do not know only where it is used."""
        plain = asdict(self)
        if not self.corrects_spelling:
            del plain["spelling"]
        if not self.out_of_scope:
            del plain["out_of_scope"]
        return plain


@dataclass(frozen=True)
class LoraSettings:
    """The adapter."""

    r: int = 16  # rank
    alpha: float = 32  # the adapter's output is scaled by alpha / r
    dropout: float = 0.0  # on the adapter's input
    target_modules: tuple[str, ...] = SEVEN_PROJECTIONS  # the linear layers that are adapted
    quantize: str = "none"  # nf4: the base in 4 bits while the adapter is trained (QLoRA, Dettmers et al. 2023)

    def __post_init__(self) -> None:
        _check(self.r >= 1, "lora.r", self.r, "at least 1")
        _check(self.alpha > 0, "lora.alpha", self.alpha, "above 0")
        _check(0 <= self.dropout < 1, "lora.dropout", self.dropout, "at least 0 and below 1")
        _check(len(self.target_modules) > 0, "lora.target_modules", self.target_modules, "one name or more")
        _check(self.quantize in QUANTIZATIONS, "lora.quantize", self.quantize, f"one of {', '.join(QUANTIZATIONS)}")


@dataclass(frozen=True)
class HeadSettings:
    """A classification head in place of scored labels."""

    tune: str = "none"  # none: no head; lora: an adapter and the head; full: every weight; frozen: the head alone

    def __post_init__(self) -> None:
        _check(self.tune in TUNES, "head.tune", self.tune, f"one of {', '.join(TUNES)}")

    @property
    def used(self) -> bool:
        """Whether there is a head."""
        return self.tune != "none"

    @property
    def whole(self) -> bool:
        """Whether the model folder has every weight, and not an adapter to a base."""
        return self.tune in ("full", "frozen")


@dataclass(frozen=True)
class TrainingSettings:
    """How the adapter or the head is trained."""

    loss: str = "label"  # label: the tokens that scoring reads; answer: all tokens of the label and its end
    epochs: int = 5  # passes over the training rows, at most; the best one is kept
    learning_rate: float = 3e-4  # at its peak; cosine to zero
    warmup: float = 0.05  # share of the steps in which the rate rises
    weight_decay: float = 0.0  # AdamW's
    batch_size: int = 16  # rows per batch
    gradient_accumulation: int = 1  # batches per step
    max_grad_norm: float = 1.0  # gradients are scaled down to this norm
    seed: int = 42  # of the order of the rows, the first weights and the noise
    patience: int = 2  # epochs without a lower validation NLL before training stops
    options_share: float = 0.0  # share of the rows shown with their options, drawn again each epoch
    option_halves: int = 0  # further views of those rows: random halves of their options, shuffled
    label_smoothing: float = 0.0  # share of the target spread over the labels (Szegedy et al. 2016)
    also_share: float = 0.0  # share of the target spread over the other labels that a row names as fair
    augment: str = "none"  # typos: half of the rows mistyped, drawn again each epoch; noise: capitals, spaces … as well
    validation_rows: int = 0  # rows that choose the epoch, drawn once with the seed; 0 for all
    share_prefix: str = "auto"  # run the prompt's prefix once per batch: auto (where it is long), on, off
    compile: bool = False  # compile each layer; pays on long runs
    checkpoint_steps: int = 200  # steps between checkpoints within an epoch; a killed run resumes from the last

    def __post_init__(self) -> None:
        _check(self.loss in LOSSES, "training.loss", self.loss, f"one of {', '.join(LOSSES)}")
        _check(self.augment in AUGMENTATIONS, "training.augment", self.augment, f"one of {', '.join(AUGMENTATIONS)}")
        _check(self.share_prefix in SHARING, "training.share_prefix", self.share_prefix, "auto, on or off")
        for name in ("epochs", "batch_size", "gradient_accumulation", "patience", "checkpoint_steps"):
            _check(getattr(self, name) >= 1, f"training.{name}", getattr(self, name), "at least 1")
        _check(self.learning_rate > 0, "training.learning_rate", self.learning_rate, "above 0")
        _check(0 <= self.warmup < 1, "training.warmup", self.warmup, "at least 0 and below 1")
        _check(self.weight_decay >= 0, "training.weight_decay", self.weight_decay, "0 or more")
        _check(self.max_grad_norm > 0, "training.max_grad_norm", self.max_grad_norm, "above 0")
        _check(0 <= self.options_share <= 1, "training.options_share", self.options_share, "from 0 to 1")
        _check(self.option_halves >= 0, "training.option_halves", self.option_halves, "0 or more")
        wanted = "at least 0 and below 1"
        _check(0 <= self.label_smoothing < 1, "training.label_smoothing", self.label_smoothing, wanted)
        _check(0 <= self.also_share < 1, "training.also_share", self.also_share, wanted)
        _check(self.validation_rows >= 0, "training.validation_rows", self.validation_rows, "0 or more")


@dataclass(frozen=True)
class Recipe:
    """All settings of a training run. Build one with `load_recipe`."""

    name: str = "custom"  # the file's name, which replaces what is written here
    description: str = ""  # one sentence, for the model card
    base: str = "embedded"  # embedded, a Hub name, a folder or a GGUF file
    prompt: PromptSettings = field(default_factory=PromptSettings)
    lora: LoraSettings = field(default_factory=LoraSettings)
    head: HeadSettings = field(default_factory=HeadSettings)
    training: TrainingSettings = field(default_factory=TrainingSettings)

    def __post_init__(self) -> None:
        if not self.head.used:
            return
        wanted = f"none where head.tune is {self.head.tune}, which trains no adapter"
        _check(self.lora.quantize == "none" or not self.head.whole, "lora.quantize", self.lora.quantize, wanted)
        wanted = "bare for a head, which reads the question alone"
        _check(self.prompt.style == "bare", "prompt.style", self.prompt.style, wanted)
        _check(not self.prompt.corrects_spelling, "prompt.spelling", self.prompt.spelling, "none for a head")
        _check(not self.prompt.out_of_scope, "prompt.out_of_scope", self.prompt.out_of_scope, "false for a head")
        _check(not self.training.also_share, "training.also_share", self.training.also_share, "0 for a head")
        _check(self.training.loss == "label", "training.loss", self.training.loss, "label for a head")

    def to_dict(self) -> JsonObject:
        """Return plain values; settings that older versions do not know only where they are used."""
        plain = {**self._all_settings(), "prompt": self.prompt.to_dict()}
        if self.lora.quantize == "none":
            del plain["lora"]["quantize"]
        for name, unused in (("augment", "none"), ("also_share", 0.0)):
            if plain["training"][name] == unused:
                del plain["training"][name]
        if not self.head.used:
            del plain["head"]
        return plain

    def _all_settings(self) -> JsonObject:
        plain: JsonObject = asdict(self)
        plain["lora"]["target_modules"] = list(self.lora.target_modules)
        return plain

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Recipe:
        """Build a recipe; RecipeError names an unknown key, with the nearest known one, or a bad value."""
        return build_settings(cls, values)

    def with_settings(self, assignments: Iterable[str]) -> Recipe:
        """Return a copy with `section.key=value` assignments applied; values are read as YAML."""
        import yaml

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
                    raise RecipeError(f"Unknown setting {key!r}: {part!r} is a single value.")
            if last not in section:
                raise RecipeError(f"Unknown setting {key!r}{_nearest(key.strip(), _all_keys(values))}.")
            try:
                section[last] = yaml.safe_load(text)
            except yaml.YAMLError as error:
                raise RecipeError(f"The value of {assignment!r} is not YAML; put it in quotes.") from error
        return Recipe.from_dict(values)


def shipped_recipes() -> list[str]:
    """Return the names of the recipes in the package."""
    folder = resources.files("subjectwise") / "recipes"
    return sorted(item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml"))


def load_recipe(name: str | Path, assignments: Iterable[str] = ()) -> Recipe:
    """Read a shipped recipe by name or a recipe file by path, and apply `key=value` assignments.

    Raises:
        RecipeError: an unknown recipe or key, or a value out of range.
    """
    import yaml

    path = Path(name)
    if str(name) in shipped_recipes():
        text = (resources.files("subjectwise") / "recipes" / f"{name}.yaml").read_text(encoding="utf-8")
    elif path.is_file():
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise RecipeError(f"The recipe {name} is not UTF-8 text.") from error
    else:
        raise RecipeError(f"Unknown recipe {str(name)!r}; give a YAML file or one of {', '.join(shipped_recipes())}.")
    try:
        values = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise RecipeError(f"The recipe {name} is not valid YAML: {' '.join(str(error).split())}") from error
    if not isinstance(values, dict):
        raise RecipeError(f"The recipe {name} must consist of 'key: value' lines.")
    return replace(Recipe.from_dict(values), name=path.stem).with_settings(assignments)


def _all_keys(values: Mapping[str, object], start: str = "") -> list[str]:
    keys: list[str] = []
    for key, value in values.items():
        keys += _all_keys(value, f"{start}{key}.") if isinstance(value, dict) else [f"{start}{key}"]
    return keys


def _nearest(key: str, known: Iterable[str]) -> str:
    by_end = {name.rsplit(".", 1)[-1]: name for name in known}
    close = difflib.get_close_matches(key.rsplit(".", 1)[-1], by_end, n=1, cutoff=0.5)
    return f"; the nearest one is {by_end[close[0]]!r}" if close else ""


def build_settings(cls: type[_T], values: Mapping[str, object], start: str = "") -> _T:
    """Build the dataclass `cls` from plain values, checking keys and types.

    Args:
        cls: a dataclass of settings, which may have dataclasses inside.
        values: from YAML or JSON.
        start: the dotted path to `values`, for errors.

    Raises:
        RecipeError: an unknown key, with the nearest known one, or a value of another type.
    """
    assert is_dataclass(cls)
    hints = get_type_hints(cls)
    known = [item.name for item in fields(cls)]
    built: dict[str, Any] = {}
    kind: Any
    for key, value in values.items():
        name, kind = f"{start}{key}", hints.get(str(key))
        if kind is None:
            raise RecipeError(f"Unknown setting {name!r}{_nearest(str(key), [start + item for item in known])}.")
        if isinstance(kind, type) and is_dataclass(kind):
            if not isinstance(value, Mapping):
                raise RecipeError(f"{name} must have settings of its own, as in {name}.{fields(kind)[0].name}.")
            built[key] = build_settings(kind, value, f"{name}.")
        else:
            built[key] = _converted(kind, value, name)
    return cls(**built)


def _converted(kind: Any, value: Any, name: str) -> Any:
    """Return `value` in the type of its field. YAML reads 3e-4 as text and 1 as a whole number; both are floats."""
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
