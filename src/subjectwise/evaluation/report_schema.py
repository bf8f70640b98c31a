"""The files of an evaluation as records: report.json and the lines of predictions.jsonl.

A section that older versions did not write is empty. Knows no files: `report_files` reads and writes them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from subjectwise.statistics.intervals import Interval
from subjectwise.statistics.metrics import CoveragePoint
from subjectwise.statistics.significance import Metrics
from subjectwise.types import JsonObject
from subjectwise.utils.json_records import FieldError, to_json

SCHEMA_VERSION = 1

# The metrics of a report by the names of its fields, as tables show them.
METRIC_NAMES = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "nll": "NLL",
    "brier": "Brier score",
    "ece": "ECE",
    "classwise_ece": "classwise ECE",
}


@dataclass(frozen=True)
class MeasuredRows:
    """Which rows were measured.

    Attributes:
        protocol: of the split folder; `file` for a file without one.
        split: train, validation or test; the name of a file.
        rows: how many.
        with_options: whether the predictor saw the answer options.
        prior_correction: as for `Classifier.classify`.
        manifest_sha256: identifies the rows.
    """

    protocol: str
    split: str
    rows: int
    with_options: bool = False
    prior_correction: str = "none"
    manifest_sha256: str = ""

    @property
    def description(self) -> str:
        """What reports must have in common for their metrics to be compared."""
        shown = "with the answer options" if self.with_options else "question text only"
        prior = "" if self.prior_correction == "none" else f", prior correction {self.prior_correction}"
        return f"{self.protocol} {self.split}, {self.rows:,} rows, {shown}{prior}"


@dataclass(frozen=True)
class ClassMetrics:
    """Metrics of one label."""

    rows: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class GroupAccuracy:
    """Accuracy on a group of rows, such as those of one source."""

    rows: int
    accuracy: Interval


@dataclass(frozen=True)
class ConfusionMatrix:
    """Rows by true label (outer list) and predicted label, in the order of `labels`."""

    labels: list[str]
    counts: list[list[int]]

    def __post_init__(self) -> None:
        rows: list[list[int]] = self.counts
        if len(rows) != len(self.labels) or any(len(row) != len(rows) for row in rows):
            raise FieldError("confusion is not a row and a column per label")


@dataclass(frozen=True)
class ConfusedPair:
    """A label and what it is taken for; `share` is of the rows that have the label."""

    label: str
    predicted: str
    rows: int
    share: float


@dataclass(frozen=True, kw_only=True)
class ConfidentError:
    """A wrong answer with its confidence, `score`."""

    row_id: str = ""
    question: str
    label: str
    predicted: str
    score: float
    source: str = ""


@dataclass(frozen=True)
class ReliabilityPoint:
    """Rows of similar confidence: their mean confidence, and their accuracy with its interval."""

    rows: int
    confidence: float
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class CalibrationMetrics:
    """How far probabilities can be trusted."""

    ece: float | None = None
    classwise_ece: float | None = None
    nll: float | None = None
    brier: float | None = None
    reliability: list[ReliabilityPoint]


@dataclass(frozen=True)
class Calibration:
    """Calibration before and after the temperature.

    Attributes:
        temperature: None where the predictor has none.
        perfect_ece_p95: what 95 of 100 perfectly calibrated models stay below on as many rows.
        before: None where there is no temperature.
        after: with the probabilities that the predictor returns.
    """

    temperature: float | None = None
    perfect_ece_p95: float | None = None
    before: CalibrationMetrics | None = None
    after: CalibrationMetrics | None = None


@dataclass(frozen=True, kw_only=True)
class ThresholdResult:
    """What a threshold that was fitted on validation rows gives on these.

    Attributes:
        threshold: the confidence from which on a question is answered.
        rows: how many were answered.
        coverage: the share of questions answered.
        accuracy: on those; None where none was answered.
    """

    threshold: float
    rows: int = 0
    coverage: float
    accuracy: Interval | None = None


@dataclass(frozen=True, kw_only=True)
class KindMetrics:
    """Metrics of one kind of rows of a mixture; `fair`: any label that a row names as fair counts as right.

    Attributes:
        rows: how many.
        accuracy: of the rows' own labels.
        fair_accuracy: of any fair label.
        ece: calibration error of the confidence for the own label.
        fair_ece: for any fair label.
        lowest_label: the label whose rows have the lowest fair accuracy.
        lowest_fair_accuracy: theirs.
        thresholds: what the predictor's thresholds give, fair labels counted, by the accuracy that they promise.
    """

    rows: int
    accuracy: Interval
    fair_accuracy: Interval
    ece: float
    fair_ece: float
    lowest_label: str
    lowest_fair_accuracy: Interval
    thresholds: dict[str, ThresholdResult] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class ScopeMetrics:
    """How well requests of no label are separated from questions.

    Attributes:
        threshold: of `in_scope`, below which a row is flagged.
        auroc: of `in_scope`.
        flagged: the share of requests of no label that are flagged.
        questions_flagged: the share of questions that are.
        kinds: the share that is flagged, by kind of rows.
    """

    threshold: float
    auroc: float
    flagged: Interval
    questions_flagged: Interval
    kinds: dict[str, Interval] = field(default_factory=dict)


@dataclass(frozen=True)
class EntropyBand:
    """Rows whose normalised entropy is from `low` to `high`; without rows there is no accuracy.

    Attributes:
        low: lower edge.
        high: upper edge.
        rows: how many.
        accuracy: of the most probable label.
        labels: how many labels are given in this band where several are wanted.
        contains_truth: the share of rows whose label is among those.
    """

    low: float
    high: float
    rows: int
    accuracy: float | None = None
    labels: float | None = None
    contains_truth: float | None = None


@dataclass(frozen=True)
class NoiseResult:
    """Accuracy under one level of noise.

    Attributes:
        level: as `typing_noise.levels_of` names it.
        accuracy: under noise.
        change: that less the accuracy without noise, paired.
        labels_kept: the share of questions whose predicted label is the same with and without noise.
        nll: under noise.
    """

    level: str
    accuracy: Interval
    change: Interval
    labels_kept: Interval
    nll: float


@dataclass(frozen=True, kw_only=True)
class Speed:
    """How fast the predictor answered."""

    seconds: float | None = None
    questions_per_second: float


@dataclass(frozen=True, kw_only=True)
class EvaluationReport:
    """The content of report.json; `model_sha256` is empty where the predictor has no file of weights."""

    predictor: str
    model_sha256: str = ""
    data: MeasuredRows
    metrics: Metrics
    per_class: dict[str, ClassMetrics] = field(default_factory=dict)
    per_source: dict[str, GroupAccuracy] = field(default_factory=dict)
    slices: dict[str, dict[str, GroupAccuracy]] = field(default_factory=dict)
    confusion: ConfusionMatrix | None = None
    confused_pairs: list[ConfusedPair] = field(default_factory=list)
    confident_errors: list[ConfidentError] = field(default_factory=list)
    calibration: Calibration | None = None
    risk_coverage: list[CoveragePoint] = field(default_factory=list)
    thresholds: dict[str, ThresholdResult] = field(default_factory=dict)
    uncertainty: list[EntropyBand] = field(default_factory=list)
    robustness: dict[str, list[NoiseResult]] = field(default_factory=dict)
    kinds: dict[str, KindMetrics] = field(default_factory=dict)
    scope: ScopeMetrics | None = None
    speed: Speed | None = None
    versions: dict[str, object] = field(default_factory=dict)
    machine: dict[str, object] = field(default_factory=dict)
    command: str = ""

    def to_dict(self) -> JsonObject:
        """Return the content of the file, without sections of what was not measured."""
        content: JsonObject = {"schema_version": SCHEMA_VERSION, **to_json(self)}
        return {key: value for key, value in content.items() if value or key not in ("robustness", "kinds", "scope")}


@dataclass(frozen=True, kw_only=True)
class PredictionRow:
    """One line of predictions.jsonl: a row's label and every label's calibrated probability.

    Attributes:
        row_id: of the row.
        label: its true label; empty in a file that was written elsewhere.
        predicted: the most probable label.
        score: its probability.
        scores: every label's probability.
        label_mass: as for `Prediction`.
    """

    row_id: str
    label: str = ""
    predicted: str = ""
    score: float | None = None
    scores: dict[str, float]
    label_mass: float | None = None
