"""The model card of a model folder: README.md and .eval_results, from what the folder knows of itself alone.

The text is in model_card.md.jinja; this file gathers what it shows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from subjectwise.errors import ModelFolderError
from subjectwise.models.gguf import EMBEDDED_NAME
from subjectwise.models.model_config import ModelConfig, read_config
from subjectwise.statistics.calibration import ENOUGH_ROWS
from subjectwise.types import JsonObject
from subjectwise.utils.atomic_files import new_file, writing

TEMPLATE = "model_card.md.jinja"
RESULTS_FOLDER = ".eval_results"

# Naming a subject is not answering the question: this keeps the results off the data set's own leaderboard.
_TASK = "subject-classification"

_METRICS = {
    "accuracy": ("accuracy", "Accuracy"),
    "macro_f1": ("f1", "Macro-F1"),
    "nll": ("nll", "Negative log-likelihood"),
    "brier": ("brier_score", "Brier score"),
    "ece": ("ece", "Expected calibration error"),
}

_KINDS = {
    "none": "a LoRA adapter",
    "lora": "a classification head with a LoRA adapter",
    "full": "a classification head, trained with all weights,",
    "frozen": "a classification head",
}


def write_card(folder: Path) -> None:
    """Write README.md, and a file in .eval_results for each report that the folder keeps.

    Raises:
        ModelFolderError: the folder has no measured results.
        SubjectwiseError: Jinja is not installed; the message has the command that installs it.
    """
    config = read_config(folder)
    reports = _reports(config)
    if not config.results.get("validation") and not reports:
        raise ModelFolderError(
            f"Cannot write a card: {folder} has no measured results. "
            f"Run 'subjectwise calibrate {folder} --data SPLIT', or give a report with --report."
        )
    text = render_card(config)
    with new_file(folder / "README.md") as temporary:
        temporary.write_text(text, encoding="utf-8")
    results = folder / RESULTS_FOLDER
    for report in reports:
        data = report["data"]
        options = "-options" if data["with_options"] else ""
        with writing(results), new_file(results / f"{data['protocol']}-{data['split']}{options}.yaml") as temporary:
            temporary.write_text(_eval_result(config, report), encoding="utf-8")


def render_card(config: ModelConfig) -> str:
    """Return the text of README.md: a header for the Hub, then what a reader asks, in that order."""
    return render_template(TEMPLATE, _context(config))


def render_template(name: str, context: Mapping[str, object]) -> str:
    """Return a Markdown template of this folder, filled in."""
    import jinja2

    environment = jinja2.Environment(  # noqa: S701  # Markdown, in which nothing is escaped as in HTML
        loader=jinja2.PackageLoader("subjectwise.publish", ""),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        count=lambda number: f"{number:,}",
        fixed=lambda number: f"{number:.3f}",
        percent=lambda share: f"{100 * share:.1f}",
        percent_name=lambda share: f"{100 * float(share):g} %",
        interval=lambda metric: _interval(metric, 1, 3),
        percent_interval=lambda metric: _interval(metric, 100, 1),
        rows_name=_rows_name,
    )
    return str(environment.get_template(name).render(**context))


def _context(config: ModelConfig) -> dict[str, Any]:
    results = config.results
    base = config.base.public_name
    averaged = results.get("average_of") or []
    runs = [_run(f"run-{number}", run, run["recipe"], run.get("times", 1)) for number, run in enumerate(averaged, 1)]
    reports = _reports(config)
    return {
        "config": config,
        "header": _header(config, base).rstrip(),
        "kind": _KINDS[config.head.tune],
        "base": base,
        "labels": list(config.labels),
        "validation": results.get("validation"),
        "enough_rows": ENOUGH_ROWS,
        "reports": reports,
        "data": results.get("data"),
        "options": f"{'with' if config.prompt.with_options else 'without'} the answer options by default",
        "averaged": bool(averaged),
        "commands": results.get("commands", []),
        "runs": runs or [_run("model", results, config.recipe)],
        "members": " ".join(run["name"] for run in runs for _ in range(run["times"])),
        "sources_measured": any(report["data"]["protocol"] == "source-held-out" for report in reports),
    }


def _run(name: str, results: JsonObject, recipe: JsonObject, times: int = 1) -> dict[str, Any]:
    """Return one training run for the template; its recipe has no path of this machine."""
    base = recipe.get("base", "")
    shared = {**recipe, "base": Path(base).name} if Path(base).is_absolute() else recipe
    return {
        "name": name,
        "results": results,
        "recipe": recipe,
        "recipe_file": "recipe.yaml" if name == "model" else f"{name}.yaml",
        "recipe_yaml": yaml.safe_dump(shared, sort_keys=False, allow_unicode=True).rstrip(),
        "times": times,
    }


def _reports(config: ModelConfig) -> list[JsonObject]:
    reports: list[JsonObject] = config.results.get("reports", [])
    return reports


def _interval(metric: Mapping[str, float] | None, scale: float, digits: int) -> str:
    """Return a metric of a kept report with its interval, where it has one."""
    if metric is None:
        return "–"
    value = f"{metric['value'] * scale:.{digits}f}"
    if "low" not in metric:
        return value
    return f"{value} [{metric['low'] * scale:.{digits}f}, {metric['high'] * scale:.{digits}f}]"


def _rows_name(data: Mapping[str, Any]) -> str:
    corrected = data.get("prior_correction", "none")
    shown = f"{data['protocol']} {data['split']}, {_options_shown(data)}"
    return shown if corrected == "none" else f"{shown}, prior correction {corrected}"


def _options_shown(data: Mapping[str, Any]) -> str:
    return "with options" if data.get("with_options") else "question text only"


def _header(config: ModelConfig, base: str) -> str:
    """Return the YAML that the Hub reads, with every metric of the model."""
    from huggingface_hub import EvalResult, ModelCardData

    validation = config.results.get("validation") or {}
    own = {name: {"value": validation[name]} for name in _METRICS if name in validation}
    measured: list[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]] = [
        ("validation", config.manifest_sha256, {}, own)
    ]
    measured += [
        (report["data"]["split"], report["data"]["manifest_sha256"], report["data"], report["metrics"])
        for report in _reports(config)
    ]
    results = [
        EvalResult(
            task_type="text-classification",
            task_name="Subject of a question",
            dataset_type=_dataset(config),
            dataset_name=_dataset_name(config, data),
            dataset_split=split,
            dataset_args={"manifest_sha256": manifest},
            metric_type=_METRICS[name][0],
            metric_name=_METRICS[name][1],
            metric_value=round(float(metric["value"]), 4),
        )
        for split, manifest, data, metrics in measured
        for name, metric in metrics.items()
        if name in _METRICS
    ]
    header = ModelCardData(
        base_model=base,
        library_name="transformers" if config.head.whole else "peft",
        pipeline_tag="text-classification",
        license="apache-2.0" if base == EMBEDDED_NAME else None,
        datasets=[_dataset(config)] if "/" in _dataset(config) else None,
        tags=["subjectwise"] if config.head.whole else ["lora", "subjectwise", f"base_model:adapter:{base}"],
        model_name=config.recipe.get("name", "custom"),
        eval_results=results,
    )
    return str(header.to_yaml())


def _eval_result(config: ModelConfig, report: Mapping[str, Any]) -> str:
    """Return the Hub's form of a result: https://huggingface.co/docs/hub/eval-results."""
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    data = report["data"]
    accuracy = report["metrics"]["accuracy"]
    entry = EvalResultEntry(
        dataset_id=_dataset(config),
        task_id=f"{_TASK}-{data['protocol']}",
        value=round(float(accuracy["value"]), 4),
        notes=(
            f"accuracy of the subject's name, {data['rows']} {data['split']} rows, {_options_shown(data)}, "
            f"95 % interval {accuracy['low']:.4f} to {accuracy['high']:.4f}, manifest {data['manifest_sha256']}"
        ),
    )
    return yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False, allow_unicode=True)


def _dataset(config: ModelConfig) -> str:
    return str(config.results.get("data", {}).get("source") or "custom")


def _dataset_name(config: ModelConfig, data: Mapping[str, Any]) -> str:
    protocol = data.get("protocol") or config.results.get("data", {}).get("protocol") or "rows of the manifest"
    return f"{protocol}, {_options_shown(data)}"
