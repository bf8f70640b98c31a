"""Train the fast model of a model folder, and choose how both answer together. Reads training and validation rows."""

from __future__ import annotations

import shutil
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from subjectwise.data.split import SplitFolder
from subjectwise.errors import DataError
from subjectwise.labels import LabelSet
from subjectwise.models.devices import AUTO, Compute
from subjectwise.models.fast_model import FastConfig, FastModel, save_fast_model
from subjectwise.models.model_config import FAST_FOLDER, read_config
from subjectwise.models.model_folder import load_model
from subjectwise.records import Example
from subjectwise.statistics.calibration import apply_temperature
from subjectwise.statistics.fair_labels import class_indices, fair_labels
from subjectwise.statistics.kind_weights import kind_weights
from subjectwise.text.question_text import question_texts
from subjectwise.training.choose_cascade import PairScores, choose_cascade, draw_balanced, join_pairs
from subjectwise.training.fit_fast_model import FastSettings, calibrate_fast_model, fit_fast_model
from subjectwise.training.validation import score_examples
from subjectwise.types import FloatArray
from subjectwise.utils.atomic_files import check_new, file_sha256, new_folder

# Validation rows that the language model scores by default: some minutes on one core.
VALIDATION_ROWS = 2000

# Of kinds that are left out together, to see how the fast model does on text unlike its training rows.
GROUPS = 4

# Below this share of known words no question is answered by the fast model alone: it is in another language, say.
MIN_KNOWN = 0.8

# Nor is one that may belong to no label. The language model judges that better, and its own minimum may be far lower;
# docs/log.md has what passed with that one alone.
MIN_IN_SCOPE = 0.8


@dataclass(frozen=True)
class FastResult:
    """What training a fast model measured.

    Attributes:
        folder: of the model.
        rows: that the fast model was trained on.
        validation_rows: that both models scored.
        config: what the folder says of the fast model, with all results.
        bytes: of its weights.
        seconds: that fitting it took.
    """

    folder: Path
    rows: int
    validation_rows: int
    config: FastConfig
    bytes: int
    seconds: float


def train_fast(
    model: Path,
    data: SplitFolder,
    output: Path,
    *,
    validation_rows: int = VALIDATION_ROWS,
    settings: FastSettings | None = None,
    seed: int = 42,
    base: str | None = None,
    compute: Compute = AUTO,
    progress: bool = True,
) -> FastResult:
    """Train a fast model on the training rows, and write `output`: the model folder with that fast model in it.

    The fast model is calibrated on all validation rows. When it answers alone, and how both are combined elsewhere,
    is chosen on as many of them as the language model scores.

    Args:
        model: a model folder; a fast model that it has is replaced.
        data: a split folder with the same labels.
        output: a new path.
        validation_rows: how many the language model scores, as many of each kind.
        settings: of the fit.
        seed: of the drawing of validation rows.
        base: where the base is, when it is not where the model says.
        compute: device, precision and engine.
        progress: whether to show it.

    Raises:
        OutputError: `output` exists or cannot be written.
        DataError: other labels than the model's, or no validation rows.
        ModelFolderError, BaseModelError: the model cannot be loaded.
    """
    check_new(output)
    config = read_config(model)
    if list(data.labels) != list(config.labels):
        raise DataError(f"{data.path} has other labels than {model}; give a split with the same labels.")
    train, validation = data.examples("train"), data.examples("validation")
    if not any(row.label in config.labels for row in validation):
        raise DataError(f"{data.path} has no validation rows; a fast model is calibrated on them.")
    shown = config.prompt.with_options
    train, validation = ([row if shown else row.without_options() for row in rows] for rows in (train, validation))
    # 1) The fast model, calibrated on all validation rows.
    started = time.perf_counter()
    fitted = fit_fast_model(train, config.labels, settings)
    seconds = time.perf_counter() - started
    fast = calibrate_fast_model(fitted, validation, kind_weights([row.kind for row in validation]))
    # 2) Both models on some of them.
    drawn = [validation[index] for index in draw_balanced(validation, validation_rows, seed)]
    loaded = load_model(model, base=base, compute=compute)
    slow = score_examples(loaded.scorer, drawn, shown, progress=progress)
    known = pair_scores(fast, apply_temperature(slow.log_probs, config.temperature), drawn, config.labels)
    # 3) As if each kind of rows were one that the fast model has never seen.
    novel = novel_scores(train, validation, drawn, known, config.labels, settings)
    chosen = choose_cascade(
        replace(fast.config, min_known=MIN_KNOWN, min_in_scope=MIN_IN_SCOPE),
        known,
        novel,
        config.scope.threshold if config.scope else None,
    )
    # 4) The folder.
    described = replace(
        chosen,
        model_sha256=file_sha256(model / config.weights_file),
        model_temperature=config.temperature,
        manifest_sha256=data.manifest_sha256,
        results={**chosen.results, "train_rows": len(train), "validation_rows": len(drawn)},
    )
    with new_folder(output) as temporary:
        shutil.copytree(model, temporary, dirs_exist_ok=True, ignore=shutil.ignore_patterns(FAST_FOLDER))
        (temporary / FAST_FOLDER).mkdir()
        save_fast_model(temporary / FAST_FOLDER, FastModel(described, fast.weights))
    size = sum(file.stat().st_size for file in (output / FAST_FOLDER).iterdir())
    return FastResult(output, len(train), len(drawn), described, size, seconds)


def novel_scores(
    train: Sequence[Example],
    validation: Sequence[Example],
    drawn: Sequence[Example],
    known: PairScores,
    labels: LabelSet,
    settings: FastSettings | None,
) -> PairScores | None:
    """Return the scores of `drawn`, each row by a fast model that was trained without its kind of rows.

    Kinds are those of a mixture; in data of one kind, sources. They are left out in a few groups. None where there are
    not several.

    Args:
        train: to fit to.
        validation: to calibrate on.
        drawn: rows that both models score.
        known: their scores by the fast model that has seen every kind, and by the language model.
        labels: of both.
        settings: of the fit.
    """
    by_kind = len({row.kind for row in train}) > 1

    def kind_of(row: Example) -> str:
        return row.kind if by_kind else row.source

    groups = deal_kinds(Counter(kind_of(row) for row in train))
    parts = []
    for group in groups if len(groups) > 1 else ():
        rows = [index for index, row in enumerate(drawn) if kind_of(row) in group]
        kept = [row for row in train if kind_of(row) not in group]
        others = [row for row in validation if kind_of(row) not in group]
        if rows and others and {row.label for row in kept} >= set(labels):
            fast = calibrate_fast_model(
                fit_fast_model(kept, labels, settings), others, kind_weights([row.kind for row in others])
            )
            parts.append(pair_scores(fast, known.slow[rows], [drawn[index] for index in rows], labels))
            parts[-1] = replace(parts[-1], weights=known.weights[rows])
    return join_pairs(parts) if parts else None


def deal_kinds(rows: Counter[str]) -> list[set[str]]:
    """Deal kinds into at most `GROUPS` groups of about as many rows; the largest first."""
    groups: list[set[str]] = [set() for _ in range(min(GROUPS, len(rows)))]
    for kind, _ in rows.most_common():
        min(groups, key=lambda group: sum(rows[other] for other in group)).add(kind)
    return groups


def pair_scores(fast: FastModel, slow: FloatArray, rows: Sequence[Example], labels: LabelSet) -> PairScores:
    """Return what both models say of rows.

    Args:
        fast: calibrated.
        slow: calibrated probabilities of the language model, [rows, labels].
        rows: which it scored.
        labels: of both.
    """
    kinds = tuple(row.kind for row in rows)
    return PairScores(
        slow, fast.answer(question_texts([row.question for row in rows])), class_indices(rows, labels, none=-1),
        fair_labels(rows, labels.names), kinds, kind_weights(kinds),
    )  # fmt: skip
