"""Predictors by name, as commands take them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from subjectwise.baselines.baseline import Baseline
from subjectwise.baselines.cascade import Cascade, fast_folder
from subjectwise.baselines.saved_baseline import is_baseline_folder
from subjectwise.classifier import Classifier
from subjectwise.data.split import SplitFolder
from subjectwise.engines.engine import AUTO_ENGINE, PYTORCH
from subjectwise.errors import DataError, ModelFolderError
from subjectwise.labels import MMLU_PRO_LABELS, LabelSet, fold_label
from subjectwise.models.devices import AUTO, Compute
from subjectwise.models.fast_model import fast_files_sha256
from subjectwise.models.gguf import EMBEDDED
from subjectwise.models.model_config import description_sha256, read_config
from subjectwise.models.model_folder import find_model_folder
from subjectwise.question_classifier import QuestionClassifier
from subjectwise.records import Example
from subjectwise.statistics.cascade import NEVER, check_loss
from subjectwise.utils.atomic_files import file_sha256

SHIPPED = "shipped"
ZERO_SHOT, FEW_SHOT, BASELINE, CASCADE = "zero-shot", "few-shot", "baseline", "cascade"

# Cascades by the points of accuracy that the fast model may cost; in the last one it never answers alone.
CASCADES = {CASCADE: "0", f"{CASCADE}-1": "1", f"{CASCADE}-{NEVER}": NEVER}


def load_predictor(
    name: str,
    labels: LabelSet | None = None,
    *,
    data: SplitFolder | None = None,
    with_options: bool = False,
    base: str = "",
    compute: Compute = AUTO,
    spelling: str = "",
) -> QuestionClassifier:
    """Load a predictor by name.

    `shipped`, a folder that `subjectwise train` wrote (an adapter's or a baseline's), or a name on the Hub;
    `zero-shot:BASE` and `few-shot:BASE`, where BASE is as for `load_base`; `baseline:KIND` is fitted at once;
    `cascade:FAST+MODEL`, where FAST is a model folder with a fast model and MODEL any predictor.

    Args:
        name: of the predictor.
        labels: of `zero-shot:BASE`, which alone needs them; None for those of MMLU-Pro.
        data: supplies one example per label to `few-shot:BASE`, and training rows to `baseline:KIND`.
        with_options: whether `baseline:KIND` sees the answer options of its training rows.
        base: where the base of a model folder is, or the encoder of a baseline.
        compute: device, precision and engine; a baseline has its own precision and engine and refuses others.
        spelling: as for `Classifier.from_pretrained`; "" for what a model folder says.

    Raises:
        DataError: the name needs training rows and there are none, is of one that does not correct spelling, or
            names another base than `base`.
    """
    kind, colon, rest = name.partition(":")
    device, dtype, engine = compute.device, compute.dtype, compute.engine
    if colon and kind in CASCADES:
        fast, behind = split_cascade(name)
        model = load_predictor(
            behind, labels, data=data, with_options=with_options, base=base, compute=compute, spelling=spelling
        )
        return Cascade.load(model, _named_folder(fast), CASCADES[kind])
    if spelling and _model_folder(name) is None:
        raise DataError(f"{name} does not correct spelling; a model folder does.")
    if base and colon and kind in (ZERO_SHOT, FEW_SHOT) and base != rest:
        raise DataError(f"--base is not for {name}, which names its own; write {kind}:{base}.")
    if colon and kind in (FEW_SHOT, BASELINE) and data is None:
        raise DataError(f"{name} learns from training rows; give it a split folder, or train it first.")
    if colon and kind == BASELINE and data is not None:
        _check_baseline_compute(name, compute)
        return fit_baseline(rest, data, base, with_options, compute.device)
    if colon and kind == ZERO_SHOT:
        return Classifier.zero_shot(
            labels or LabelSet(MMLU_PRO_LABELS), base=rest, device=device, dtype=dtype, engine=engine
        )
    if colon and kind == FEW_SHOT and data is not None:
        return Classifier.zero_shot(
            data.labels, base=rest, shots=draw_shots(data), device=device, dtype=dtype, engine=engine
        )
    if is_baseline_folder(Path(name)):
        _check_baseline_compute(name, compute)
        return Baseline.load(Path(name), encoder=base, device=compute.device)
    return Classifier.from_pretrained(
        None if name == SHIPPED else name, base=base or None, device=device, dtype=dtype, engine=engine,
        spelling=spelling or None,
    )  # fmt: skip


def cascade_name(model: str, loss: str) -> str:
    """Return the name of the cascade of a model folder and the fast model in it.

    Args:
        model: of the folder; "" for the shipped adapter.
        loss: as for `Cascade`.
    """
    check_loss(loss)
    kind = next(kind for kind, points in CASCADES.items() if points == loss)
    return f"{kind}:{model or SHIPPED}+{model or SHIPPED}"


def split_cascade(name: str) -> tuple[str, str]:
    """Return FAST and MODEL of `cascade:FAST+MODEL`; FAST is the shortest existing folder before a plus sign.

    Raises:
        DataError: one of them is missing.
    """
    kind, _, rest = name.partition(":")
    parts = rest.split("+")
    pairs = [("+".join(parts[:end]), "+".join(parts[end:])) for end in range(1, len(parts))]
    pairs = [pair for pair in pairs if all(pair)]
    if not pairs:
        raise DataError(f"{name} needs two predictors: {kind}:FAST+MODEL, where FAST is a folder with a fast model.")
    return next((pair for pair in pairs if Path(pair[0]).is_dir()), pairs[0])


def load_answering_predictor(
    name: str, labels: LabelSet | None, *, base: str = "", compute: Compute = AUTO, spelling: str = ""
) -> QuestionClassifier:
    """Load the predictor that answers users' questions.

    Args:
        name: of the predictor; "" for the shipped adapter, or for the embedded base where `labels` are given.
        labels: of the user's own, for `zero-shot:BASE`.
        base: as for `load_predictor`.
        compute: as for `load_predictor`.
        spelling: as for `load_predictor`.

    Raises:
        DataError: the named model does not correct spelling, or was trained on other labels than the given ones.
    """
    name = name or default_name(labels, base)
    predictor = load_predictor(name, labels, base=base, compute=compute, spelling=spelling)
    if labels is not None and set(map(fold_label, labels)) != set(map(fold_label, predictor.labels)):
        raise DataError(
            f"{name} was trained on other labels than the given ones; "
            f"use --model {ZERO_SHOT}:BASE for these, or train a model on them."
        )
    return predictor


def load_classifier_to_export(name: str, labels: LabelSet | None = None, *, base: str = "") -> Classifier:
    """Load a predictor that can be exported: a trained model, or `zero-shot:BASE`; on the CPU, in float32, by PyTorch.

    Args:
        name: as for `load_predictor`.
        labels: as for `load_answering_predictor`.
        base: as for `load_predictor`.

    Raises:
        ModelFolderError: it is a baseline or a cascade.
        DataError: as for `load_answering_predictor`.
    """
    prefix = name.partition(":")[0]
    if prefix == BASELINE or prefix in CASCADES or is_baseline_folder(Path(name)):
        kind = CASCADE if prefix in CASCADES else BASELINE
        raise ModelFolderError(
            f"Cannot export {name}: a {kind} is not a single language model. Export a model folder, or zero-shot:BASE."
        )
    predictor = load_answering_predictor(name, labels, base=base, compute=Compute("cpu", "float32", PYTORCH))
    if not isinstance(predictor, Classifier):
        raise ModelFolderError(f"Cannot export {name}; export a model folder, or zero-shot:BASE.")
    return predictor


def predictor_files_sha256(name: str) -> str:
    """Return the hash of what the answers of a predictor depend on, without loading it.

    Args:
        name: of the predictor; "" for the shipped adapter.

    Returns:
        A hash in hex digits; "" for a predictor without a model folder.
    """
    kind = name.partition(":")[0]
    if kind in CASCADES:
        fast, behind = split_cascade(name)
        model = predictor_files_sha256(behind)
        return f"{model}-{fast_files_sha256(fast_folder(_named_folder(fast)))}-{CASCADES[kind]}" if model else ""
    folder = _model_folder(name)
    return f"{file_sha256(folder / read_config(folder).weights_file)}-{description_sha256(folder)}" if folder else ""


def predictor_reads_options(name: str) -> bool:
    """Return whether a predictor was trained to see answer options, without loading it; as for its `reads_options`."""
    if name.partition(":")[0] in CASCADES:
        return predictor_reads_options(split_cascade(name)[1])
    folder = _model_folder(name)
    return folder is not None and read_config(folder).prompt.with_options


def _named_folder(name: str) -> Path:
    """Return the folder of a model, downloaded where it is on the Hub."""
    return find_model_folder(None if name in ("", SHIPPED) else name)


def _model_folder(name: str) -> Path | None:
    """Return the model folder of a predictor; None for one without."""
    if name.partition(":")[0] in (ZERO_SHOT, FEW_SHOT, BASELINE) or is_baseline_folder(Path(name)):
        return None
    return _named_folder(name)


def default_name(labels: LabelSet | None, base: str = "") -> str:
    """Return the name of the predictor that answers where none is named, on `base` where its labels are given."""
    return SHIPPED if labels is None else f"{ZERO_SHOT}:{base or EMBEDDED}"


def fit_baseline(
    kind: str, data: SplitFolder, encoder: str = "", with_options: bool = False, device: str = "auto"
) -> Baseline:
    """Fit a baseline on the training rows of a split folder, and calibrate it on its validation rows."""
    train, validation = (
        [row if with_options else row.without_options() for row in data.examples(split)]
        for split in ("train", "validation")
    )
    return Baseline.fit(kind, train, validation, data.labels, encoder=encoder, device=device)


def draw_shots(data: SplitFolder, seed: int = 42) -> list[Example]:
    """Draw one example per label from the training rows, with the seed, among those of at most 200 characters."""
    generator = np.random.default_rng(seed)
    rows = data.examples("train")
    drawn = [_draw_row([row for row in rows if row.label == label], generator) for label in data.labels]
    return [drawn[index] for index in generator.permutation(len(drawn))]


def _draw_row(rows: Sequence[Example], generator: np.random.Generator) -> Example:
    short = [row for row in rows if len(row.question.text) <= 200] or rows
    return short[int(generator.integers(len(short)))]


def _check_baseline_compute(name: str, compute: Compute) -> None:
    for option, value, default in (("--dtype", compute.dtype, "auto"), ("--engine", compute.engine, AUTO_ENGINE)):
        if value != default:
            raise DataError(f"{name} is a baseline, to which {option} {value} does not apply; leave it out.")
