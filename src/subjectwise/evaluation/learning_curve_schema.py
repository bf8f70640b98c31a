"""The file of a learning curve as records. Knows no files: `report_files` reads and writes it."""

from __future__ import annotations

from dataclasses import dataclass, field

from subjectwise.evaluation.report_schema import SCHEMA_VERSION, MeasuredRows
from subjectwise.statistics.intervals import Interval
from subjectwise.types import JsonObject
from subjectwise.utils.json_records import to_json


@dataclass(frozen=True, kw_only=True)
class LearningCurvePoint:
    """Metrics after training on `rows` rows, drawn with `seed`."""

    rows: int
    seed: int | None = None
    accuracy: Interval
    macro_f1: float | None = None
    nll: float | None = None
    seconds: float | None = None


@dataclass(frozen=True, kw_only=True)
class LearningCurve:
    """The content of learning_curve.json; `settings` and `base` are the changes to the recipe `predictor`."""

    predictor: str
    settings: list[str] = field(default_factory=list)
    base: str = ""
    data: MeasuredRows | None = None
    points: list[LearningCurvePoint]
    command: str = ""
    versions: dict[str, object] = field(default_factory=dict)
    machine: dict[str, object] = field(default_factory=dict)

    def to_dict(self) -> JsonObject:
        """Return the content of the file."""
        return {"schema_version": SCHEMA_VERSION, **to_json(self)}
