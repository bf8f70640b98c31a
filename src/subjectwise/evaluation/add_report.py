"""Add a report to the results of a model folder, from which its card is written."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, replace
from pathlib import Path

from subjectwise.errors import DataError
from subjectwise.evaluation.report_files import REPORT_FILE, read_report
from subjectwise.evaluation.report_schema import (
    Calibration,
    EvaluationReport,
    KindMetrics,
    MeasuredRows,
    ReliabilityPoint,
    ScopeMetrics,
)
from subjectwise.models.model_config import ModelConfig, read_config, write_config
from subjectwise.predictors import CASCADES
from subjectwise.statistics.significance import Metrics
from subjectwise.types import JsonObject
from subjectwise.utils.atomic_files import file_sha256
from subjectwise.utils.json_records import to_json

# A path from the root, also behind `--data=`, `-o` or `cascade:`, of Windows too.
_ABSOLUTE_PATH = re.compile(r"(?:^|(?<=[=:+])|(?<=^-\w))(?:[A-Za-z]:)?[/\\][^=:+]*")

_LISTED = 3  # labels of lowest F1


@dataclass(frozen=True)
class LabelMetrics:
    """Metrics of one label, with its name."""

    label: str
    rows: int
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True)
class KeptReport:
    """What a model folder keeps of a report.

    Attributes:
        data: the rows that were measured.
        metrics: on those.
        command: which measures them again, without paths of this machine.
        model_sha256: of the weights.
        weakest: the labels of lowest F1.
        before: the ECE before temperature scaling.
        reliability: confidence and accuracy by bin, after temperature scaling.
        perfect_ece_p95: as in `Calibration`.
        kinds: of a mixture, each apart.
        scope: how well requests of no label are separated from questions.
    """

    data: MeasuredRows
    metrics: Metrics
    command: str
    model_sha256: str
    weakest: list[LabelMetrics]
    before: float | None
    reliability: list[ReliabilityPoint]
    perfect_ece_p95: float | None
    kinds: dict[str, KindMetrics]
    scope: ScopeMetrics | None

    @classmethod
    def of(cls, report: EvaluationReport) -> KeptReport:
        """Return what is kept of `report`."""
        calibration = report.calibration or Calibration()
        weakest = sorted(report.per_class.items(), key=lambda item: item[1].f1)[:_LISTED]
        return cls(
            data=report.data,
            metrics=report.metrics,
            command=_without_paths(report.command),
            model_sha256=report.model_sha256,
            weakest=[LabelMetrics(label, row.rows, row.precision, row.recall, row.f1) for label, row in weakest],
            before=calibration.before.ece if calibration.before else None,
            reliability=calibration.after.reliability if calibration.after else [],
            perfect_ece_p95=calibration.perfect_ece_p95,
            kinds=report.kinds,
            scope=report.scope,
        )


def add_report(folder: Path, report: Path) -> ModelConfig:
    """Add a report that `subjectwise evaluate` wrote to the results of a model folder.

    It replaces an earlier report on the same rows with the same input.

    Args:
        folder: of the model.
        report: the folder of the report.

    Raises:
        DataError: the report is missing or damaged, or of another model.
        ModelFolderError: `folder` is not a complete model folder.
    """
    config = read_config(folder)
    measured = read_report(report / REPORT_FILE)
    if measured.predictor.partition(":")[0] in CASCADES:
        raise DataError(f"{report} was measured with a cascade; a card has the language model's own measurements.")
    if measured.model_sha256 != file_sha256(folder / config.weights_file):
        raise DataError(f"{report} was measured with another model than {folder}; evaluate this one.")
    kept = to_json(KeptReport.of(measured))
    reports = [item for item in config.results.get("reports", []) if _rows_key(item) != _rows_key(kept)]
    changed = replace(config, results={**config.results, "reports": [*reports, kept]})
    write_config(folder, changed)
    return changed


def _rows_key(kept: JsonObject) -> tuple[object, ...]:
    keys = ("manifest_sha256", "split", "with_options", "prior_correction", "rows")
    return tuple(kept["data"].get(key) for key in keys)


def _last_part(path: re.Match[str]) -> str:
    return re.split(r"[/\\]", path[0].rstrip("/\\"))[-1]


def _without_paths(command: str) -> str:
    """Return a command whose absolute paths are their last part, since it is read on other machines."""
    try:
        words = shlex.split(command)
    except ValueError:
        return ""
    return shlex.join(_ABSOLUTE_PATH.sub(_last_part, word) for word in words)
