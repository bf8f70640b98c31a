"""The model card of a model folder: README.md and .eval_results, from what the folder knows of itself alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import yaml

from subjectwise.errors import DataError, ModelFolderError
from subjectwise.models.gguf import EMBEDDED_NAME
from subjectwise.models.model_config import ModelConfig, read_config, write_config
from subjectwise.types import JsonObject
from subjectwise.utils.atomic_files import file_sha256, new_file, read_json, writing

RESULTS_FOLDER = ".eval_results"

# Naming a subject is not answering the question: this keeps the figures off the data set's own leaderboard.
_TASK = "subject-classification"

_METRICS = {
    "accuracy": ("accuracy", "Accuracy"),
    "macro_f1": ("f1", "Macro-F1"),
    "nll": ("nll", "Negative log-likelihood"),
    "brier": ("brier_score", "Brier score"),
    "ece": ("ece", "Expected calibration error"),
}


def add_report(folder: Path, report: Path) -> ModelConfig:
    """Keeps the figures of a report that 'subjectwise evaluate' wrote among the results of a model folder.

    A report on the same rows, shown the same way, takes the place of an earlier one.

    Raises:
        DataError: it is no report, or one of another model.
    """
    config = read_config(folder)
    content = read_json(report / "report.json", DataError)
    try:
        found = {key: content[key] for key in ("data", "metrics", "command", "model_sha256")}
        found["weakest"] = sorted(
            ({"label": label, **values} for label, values in content["per_class"].items()),
            key=lambda row: float(row["f1"]),
        )[:3]
        found["before"] = (content["calibration"]["before"] or {}).get("ece")
        found["reliability"] = content["calibration"]["after"]["reliability"]
        place = tuple(found["data"][key] for key in ("manifest_sha256", "split", "with_options"))
    except (KeyError, TypeError) as error:
        raise DataError(f"{report} is no report of this version; run 'subjectwise evaluate' again.") from error
    if found["model_sha256"] != file_sha256(folder / config.weights_file):
        raise DataError(f"{report} was measured with another model than {folder}; evaluate this one.")
    reports = list(config.results.get("reports", []))
    places = [tuple(row["data"][key] for key in ("manifest_sha256", "split", "with_options")) for row in reports]
    if place in places:
        reports[places.index(place)] = found
    else:
        reports.append(found)
    changed = replace(config, results={**config.results, "reports": reports})
    write_config(folder, changed)
    return changed


def write_card(folder: Path) -> None:
    """Writes README.md, and a file in .eval_results for each report that the folder keeps.

    Raises:
        ModelFolderError: the folder has no measured results.
    """
    config = read_config(folder)
    if not config.results.get("validation") and not config.results.get("reports"):
        raise ModelFolderError(
            f"{folder} has no measured results to write a card from; "
            f"run 'subjectwise calibrate {folder} --data SPLIT', or give a report with --report."
        )
    with new_file(folder / "README.md") as temporary:
        temporary.write_text(card(config), encoding="utf-8")
    place = folder / RESULTS_FOLDER
    for report in config.results.get("reports", []):
        data = report["data"]
        shown = "-options" if data["with_options"] else ""
        with writing(place), new_file(place / f"{data['protocol']}-{data['split']}{shown}.yaml") as temporary:
            temporary.write_text(_eval_result(config, report), encoding="utf-8")


def _eval_result(config: ModelConfig, report: Mapping[str, Any]) -> str:
    """The Hub's form of a result: https://huggingface.co/docs/hub/eval-results."""
    from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml

    data = report["data"]
    accuracy = report["metrics"]["accuracy"]
    entry = EvalResultEntry(
        dataset_id=_dataset(config),
        task_id=f"{_TASK}-{data['protocol']}",
        value=round(float(accuracy["value"]), 4),
        notes=(
            f"accuracy of the subject's name, {data['rows']} {data['split']} rows, {_shown(data)}, "
            f"95 % interval {accuracy['low']:.4f} to {accuracy['high']:.4f}, manifest {data['manifest_sha256']}"
        ),
    )
    return yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False, allow_unicode=True)


def _dataset(config: ModelConfig) -> str:
    return str(config.results.get("data", {}).get("source") or "custom")


def card(config: ModelConfig) -> str:
    """The text of README.md: a header for the Hub, then what a reader asks, in that order."""
    base = config.base.public_name
    parts = [
        f"# Which subject a question belongs to: {_kind(config)} on {base}",
        f"Names one of {len(config.labels)} labels ({', '.join(config.labels)}) for a question, with a calibrated "
        f"probability for each. {_how(config)}, in one pass; no answer can be outside of them.",
        _usage(config),
        _results(config),
        _prompt(config),
        _training(config),
        _limits(config),
        _reproduce(config),
    ]
    return f"---\n{_header(config, base)}\n---\n\n" + "\n\n".join(part for part in parts if part) + "\n"


def _kind(config: ModelConfig) -> str:
    if not config.head.used:
        return "a LoRA adapter"
    return {
        "lora": "a classification head with a LoRA adapter",
        "full": "a classification head, trained with all weights,",
        "frozen": "a classification head",
    }[config.head.tune]


def _how(config: ModelConfig) -> str:
    if config.head.used:
        return "A classification head reads the question alone"
    return "Labels are scored as the continuation of the prompt"


def _header(config: ModelConfig, base: str) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    validation = config.results.get("validation", {})
    own = {name: {"value": validation[name]} for name in _METRICS if name in validation}
    measured: list[tuple[str, str, Mapping[str, Any], Mapping[str, Any]]] = [
        ("validation", config.manifest_sha256, {}, own)
    ]
    measured += [
        (row["data"]["split"], row["data"]["manifest_sha256"], row["data"], row["metrics"])
        for row in config.results.get("reports", [])
    ]
    results = [
        EvalResult(
            task_type="text-classification",
            task_name="Subject of a question",
            dataset_type=_dataset(config),
            dataset_name=_data_name(config, data),
            dataset_split=split,
            dataset_args={"manifest_sha256": manifest},
            metric_type=_METRICS[name][0],
            metric_name=_METRICS[name][1],
            metric_value=round(float(figure["value"]), 4),
        )
        for split, manifest, data, figures in measured
        for name, figure in figures.items()
        if name in _METRICS
    ]
    license_name = "apache-2.0" if base == EMBEDDED_NAME else None
    header = ModelCardData(
        base_model=base,
        library_name="transformers" if config.head.whole else "peft",
        pipeline_tag="text-classification",
        license=license_name,
        datasets=[_dataset(config)] if "/" in _dataset(config) else None,
        tags=["subjectwise"] if config.head.whole else ["lora", "subjectwise", f"base_model:adapter:{base}"],
        model_name=config.recipe.get("name", "custom"),
        eval_results=results,
    )
    return str(header.to_yaml())


def _data_name(config: ModelConfig, data: Mapping[str, Any]) -> str:
    protocol = data.get("protocol") or config.results.get("data", {}).get("protocol") or "rows of the manifest"
    return f"{protocol}, {_shown(data)}"


def _shown(data: Mapping[str, Any]) -> str:
    return "with options" if data.get("with_options") else "question text only"


def _usage(config: ModelConfig) -> str:
    question = "How do neurons transmit signals?"
    return (
        "## Use\n\n```python\nfrom subjectwise import Classifier\n\n"
        'classifier = Classifier.from_pretrained("this folder or its name on the Hub")\n'
        f'print(classifier.classify("{question}").label)\n```\n\n'
        f'```sh\nsubjectwise classify --model FOLDER "{question}"\n```'
    )


def _results(config: ModelConfig) -> str:
    lines = ["## Measured", "", "| rows | | accuracy | macro-F1 | NLL | ECE |", "|---|---|---|---|---|---|"]
    validation = config.results.get("validation")
    if validation:
        cells = [f"{100 * validation['accuracy']:.1f}", f"{100 * validation['macro_f1']:.1f}"]
        cells += [f"{validation['nll']:.3f}", f"{validation['ece']:.3f}"]
        what = "validation: chose the epoch and the temperature"
        lines.append(f"| {what} | {validation['rows']:,} | {' | '.join(cells)} |")
    for report in config.results.get("reports", []):
        data, figures = report["data"], report["metrics"]
        cells = [_figure(figures[name], 100, 1) for name in ("accuracy", "macro_f1")]
        cells += [_figure(figures[name], 1, 3) for name in ("nll", "ece")]
        what = f"{data['protocol']} {data['split']}, {_shown(data)}"
        lines.append(f"| {what} | {data['rows']:,} | {' | '.join(cells)} |")
    lines += ["", "In brackets the 95 % interval. Accuracy and macro-F1 in percent."]
    lines.append(
        f"The log-probabilities are divided by the temperature {config.temperature:.3f}, fitted on the validation rows."
    )
    for target, threshold in config.thresholds.items():
        lines.append(f"Validation rows of a probability of {threshold:.3f} or more are {float(target):.0%} right.")
    return "\n".join(lines)


def _figure(figure: Mapping[str, float], scale: float, digits: int) -> str:
    value, low, high = (figure[part] * scale for part in ("value", "low", "high"))
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def _prompt(config: ModelConfig) -> str:
    shown = "with the answer options" if config.prompt.with_options else "without the answer options"
    if config.head.used:
        settings = ", ".join(f"{name} {value}" for name, value in asdict(config.head).items())
        return (
            f"## Input\n\nThe question alone, {shown} unless asked, at most {config.prompt.max_tokens} tokens "
            f"(a longer one loses its middle). The head: {settings}."
        )
    return (
        f"## Prompt\n\nStyle `{config.prompt.style}`, {shown} unless asked, at most {config.prompt.max_tokens} tokens "
        f"a question (a longer one loses its middle). The answer follows with a leading space.{_mended(config)}\n\n"
        f"```text\n{config.template}\n```"
    )


def _mended(config: ModelConfig) -> str:
    if not config.prompt.corrects_spelling:
        return ""
    return (
        f" subjectwise mends mistyped words before the model reads them (dictionary `{config.prompt.spelling}`, "
        "and the words of the training rows in `words.json`); other programs hand it a question as it is."
    )


def _training(config: ModelConfig) -> str:
    lines = ["## Training", ""]
    data = config.results.get("data")
    if data:
        counts = ", ".join(f"{rows:,} {name}" for name, rows in data["rows"].items())
        lines += [f"Rows of {data['source']} by the protocol `{data['protocol']}`, seed {data['seed']}: {counts}.", ""]
    lines += [f"The manifest `{config.manifest_sha256}` names every row.", ""]
    runs = config.results.get("average_of")
    if not runs:
        return "\n".join([*lines, *_curve(config.results, config.recipe)])
    lines += [f"The weights are the mean of {len(runs)} training runs, rounded to rank {config.results['rank']}.", ""]
    for number, run in enumerate(runs, 1):
        times = run.get("times", 1)
        counted = f", counted {times} times" if times > 1 else ""
        lines += [f"Run {number}{counted}:", "", *_curve(run, run["recipe"]), ""]
    return "\n".join(lines).rstrip()


def _curve(results: Mapping[str, Any], recipe: JsonObject) -> list[str]:
    """How a run went, epoch by epoch."""
    lines = []
    start = results.get("start")
    if start:
        lines += [f"It went on from another adapter (the hash of its weights: `{start['sha256']}`).", ""]
    also = results.get("also")
    if also:
        lines += [
            f"It was trained on {also['rows']:,} rows of another file as well (their hash: `{also['sha256']}`).",
            "",
        ]
    epochs = results.get("epochs", [])
    if epochs:
        best = results.get("best_epoch")
        lines += ["| epoch | validation accuracy | macro-F1 | NLL after a temperature |", "|---|---|---|---|"]
        for row in epochs:
            number = round(row["epoch"])
            kept = " (kept)" if number == best else ""
            cells = f"{100 * row['accuracy']:.1f} | {100 * row['macro_f1']:.1f} | {row['nll']:.3f}"
            lines.append(f"| {number}{kept} | {cells} |")
        drawn = recipe.get("training", {}).get("validation_rows", 0)
        lines += ["", f"Measured on {drawn:,} of the validation rows." if drawn else "Measured on all validation rows."]
    cost = results.get("cost")
    if cost:
        lines += ["", _cost(cost)]
    return lines


def _cost(cost: Mapping[str, Any]) -> str:
    place = f"{cost['threads']} threads of a CPU" if cost["device"] == "cpu" else cost["device"]
    parts = [
        f"{cost['trainable_parameters']:,} of {cost['parameters']:,} parameters were trained",
        f"{cost['seconds'] / 60:.1f} minutes on {place}" + (" since it was last resumed" if cost["resumed"] else ""),
    ]
    if cost["peak_memory_bytes"]:
        parts.append(f"{cost['peak_memory_bytes'] / 1e9:.1f} GB of memory at the most")
    return ", ".join(parts) + "."


def _limits(config: ModelConfig) -> str:
    signs = (
        "A low probability is a sign of that"
        if config.head.used
        else "`label_mass` and a low probability are signs of that"
    )
    lines = [
        "## Limits",
        "",
        f"- It knows these labels only; a text that is none of them still gets one. {signs}, and not proof.",
        "- A probability is calibrated on rows like the validation rows. Run `subjectwise calibrate` on rows of your "
        "own where yours are unlike them.",
    ]
    for report in config.results.get("reports", []):
        data = report["data"]
        weak = ", ".join(f"{row['label']} ({100 * row['f1']:.0f})" for row in report["weakest"])
        lines.append(f"- Weakest by F1 on {data['protocol']} {data['split']}: {weak}.")
    protocols = {report["data"]["protocol"] for report in config.results.get("reports", [])}
    if "source-held-out" not in protocols:
        lines.append(
            "- Not measured on sources that it has not seen: books and exams have a manner of their own, and figures "
            "on new ones are lower."
        )
    return "\n".join(lines)


def _reproduce(config: ModelConfig) -> str:
    lines = ["## Reproduce", "", "```sh"]
    data = config.results.get("data")
    if data:
        source = f"--source {data['source']} " if data["source"] else ""
        lines.append(
            f"subjectwise data split --protocol {data['protocol']} --seed {data['seed']} {source}--output split"
        )
    runs = config.results.get("average_of")
    named = [(f"run-{number}", run, run["recipe"]) for number, run in enumerate(runs or [], 1)]
    for name, run, _ in named or [("model", config.results, config.recipe)]:
        file = f"{name}.yaml" if runs else "recipe.yaml"
        start = " --from MODEL" if "start" in run else ""
        also = " --also FILE" if "also" in run else ""
        lines.append(f"subjectwise train {file} --data split{start}{also} --output {name}")
    if runs:
        names = " ".join(name for name, run, _ in named for _ in range(run.get("times", 1)))
        lines.append(f"subjectwise average {names} --data split --rank {config.results['rank']} --output model")
    lines += [str(report["command"]) for report in config.results.get("reports", [])]
    lines.append("```")
    for name, recipe in [(name, own) for name, _, own in named] or [("recipe", config.recipe)]:
        lines += [
            "",
            f"with `{name}.yaml`:",
            "",
            "```yaml",
            yaml.safe_dump(recipe, sort_keys=False, allow_unicode=True).rstrip(),
            "```",
        ]
    return "\n".join(lines)
