"""`subjectwise classify`: questions into subjects."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from subjectwise.cli.classify_ray import classify_by_ray
from subjectwise.cli.options import (
    AsJsonLines,
    BaseName,
    Delimiter,
    Device,
    Dtype,
    Engine,
    Fast,
    FastLoss,
    LabelFile,
    ModelName,
    OptionsColumn,
    QuestionColumn,
    Spelling,
    confidence_for_accuracy,
    fast_name,
    load_classifier,
    own_min_in_scope,
    read_min_in_scope,
    read_questions,
)
from subjectwise.cli.output import json_text, prediction_json, prediction_text, print_counts, print_explanation

if TYPE_CHECKING:
    from subjectwise.question_classifier import QuestionClassifier
    from subjectwise.records import Decision, Question


_SHOWN = 3  # labels of an answer on the screen


def classify(
    questions: Annotated[list[str] | None, typer.Argument(help="One question or more, each in quotes.")] = None,
    input_file: Annotated[
        str, typer.Option("--input", "-i", help="A TXT, JSONL, CSV or parquet file, or - for standard input.")
    ] = "",
    output: Annotated[
        str, typer.Option("--output", "-o", help="A JSONL, CSV or parquet file to write; needs --input.")
    ] = "",
    model: ModelName = "",
    fast: Fast = False,
    fast_loss: FastLoss = "",
    base: BaseName = "",
    labels: LabelFile = None,
    top_k: Annotated[int, typer.Option(min=1, help="How many labels to show.")] = _SHOWN,
    with_options: Annotated[
        bool, typer.Option("--with-options", help="Show the model the answer options in the input's options column.")
    ] = False,
    spelling: Spelling = "",
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, help="Answer `abstain` where the probability is lower.")
    ] = 0.0,
    min_accuracy: Annotated[
        str,
        typer.Option(
            help="Abstain below the confidence above which this share of answers is right on new questions like the "
            "validation rows (0.95; 0.99 where the model has that threshold)."
        ),
    ] = "",
    min_in_scope: Annotated[
        str,
        typer.Option(
            help="Answer `abstain` where the probability of belonging to any label is lower; auto for the model's own "
            "minimum, which few questions are below."
        ),
    ] = "",
    multi_label: Annotated[bool, typer.Option("--multi-label", help="Give several labels where unsure.")] = False,
    prior_correction: Annotated[
        str,
        typer.Option(
            help="For a mix of subjects unlike that of the training rows: match estimates it, batch makes all "
            "subjects equally frequent, none."
        ),
    ] = "none",
    explain: Annotated[
        bool,
        typer.Option(
            "--explain", help="Show which words changed the answer; costs about 9 classifications on average."
        ),
    ] = False,
    question_column: QuestionColumn = "",
    options_column: OptionsColumn = "",
    delimiter: Delimiter = "",
    csv_encoding: Annotated[
        str, typer.Option(help="Of a CSV output: utf-8, or utf-8-sig with the byte order mark that Excel needs.")
    ] = "utf-8",
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Note a row without an answer as its `error`, and go on.")
    ] = False,
    ray: Annotated[
        str,
        typer.Option(
            help="Classify on a Ray cluster: local, or its address. --input is a folder, a pattern or a URI, and "
            "--output a folder or a URI."
        ),
    ] = "",
    ray_workers: Annotated[int, typer.Option(min=1, help="Of --ray; each holds the model once.")] = 1,
    ray_cpus: Annotated[float, typer.Option(min=0, help="Of each worker; 0.5 for a half.")] = 1.0,
    ray_gpus: Annotated[float, typer.Option(min=0, help="Of each worker; 0.25 for a quarter.")] = 0.0,
    device: Device = "auto",
    dtype: Dtype = "auto",
    engine: Engine = "auto",
    as_json: AsJsonLines = False,
) -> None:
    """Name the subject of questions, with calibrated probabilities.

    Example: `subjectwise classify "How do neurons transmit signals?"`

    A file: `subjectwise classify --input questions.csv --output subjects.jsonl`

    Labels of your own: `subjectwise classify --labels labels.yaml "Where is my parcel?"`

    With `--fast` an answer has `answered_by`: `fast` or `model`.

    An answer has `truncated` where the question was longer than the model reads, so that its middle was cut out.
    A run that was stopped continues when the same command is given again.

    A folder, on a cluster: `subjectwise classify --ray HOST:6379 --ray-workers 8 --input questions --output answers`
    """
    from subjectwise.errors import QuestionError, SubjectwiseError
    from subjectwise.models.devices import Compute
    from subjectwise.records import Decision

    compute = Compute(device, dtype, engine)
    # 1) Refuse what cannot be done, before the model is loaded for it.
    if bool(questions) == bool(input_file):
        raise SubjectwiseError("Give either questions or --input FILE; see 'subjectwise classify --help'.")
    if output and not input_file:
        raise SubjectwiseError("--output needs --input; a question on the command line is answered on the screen.")
    asked = read_questions(questions or [])
    if asked and with_options:
        raise QuestionError("--with-options needs --input with a column of options.")
    if prior_correction != "none" and not input_file:
        raise SubjectwiseError("--prior-correction needs --input; a single question has no mix of subjects.")
    if min_confidence and min_accuracy:
        raise SubjectwiseError("Give --min-confidence or --min-accuracy, not both.")
    if input_file and top_k != _SHOWN:
        raise SubjectwiseError("--top-k is for questions on the command line; answers to a file have all scores.")
    if ray and not (input_file and output):
        raise SubjectwiseError("--ray needs --input FOLDER and --output FOLDER.")
    if ray and spelling:
        raise SubjectwiseError(
            "--spelling is not available on Ray; use a model folder of 'subjectwise calibrate --spelling'."
        )
    in_scope = read_min_in_scope(min_in_scope)
    model = fast_name(model, fast, fast_loss, labels)

    def load() -> tuple[QuestionClassifier, Decision]:
        classifier = load_classifier(model, labels, base, compute, spelling)
        if explain:
            classifier = classifier.explainer
        minimum = confidence_for_accuracy(classifier, min_accuracy) if min_accuracy else min_confidence
        least = own_min_in_scope(classifier) if in_scope is None else in_scope
        return classifier, Decision(minimum, multi_label, least)

    # 2) Questions of the command line, which do not wait for the import of what reads and writes files.
    if asked:
        _answer(*load(), asked, top_k, explain=explain, as_json=as_json)
        return
    from subjectwise.bulk.classify_files import check_request, classify_file, classify_rows
    from subjectwise.bulk.score_rows import BulkCounts, BulkOptions
    from subjectwise.bulk.unfinished_run import model_identity
    from subjectwise.data.csv_rows import read_delimiter
    from subjectwise.utils.progress import progress_bar

    path = Path(input_file)
    options = BulkOptions(
        question_column, options_column, read_delimiter(delimiter), with_options,
        prior_correction=prior_correction, keep_going=keep_going, explain=explain,
    )  # fmt: skip
    # 3) Files on a cluster.
    if ray:
        from subjectwise.bulk.ray_workers import RayWorkers, WorkerModel
        from subjectwise.labels import LabelSet

        chosen = Decision(min_confidence, multi_label, in_scope or 0.0)
        if min_accuracy or in_scope is None:
            _, chosen = load()
        classify_by_ray(
            input_file, output, WorkerModel(model, LabelSet.from_yaml(labels) if labels else None, base, compute),
            replace(options, decision=chosen), RayWorkers(ray_workers, ray_cpus, ray_gpus), ray, csv_encoding, as_json,
        )  # fmt: skip
        return
    # 4) The rows of a file, on the screen.
    target = Path(output) if output else None
    rows = check_request(path, target, options, csv_encoding)
    classifier, decision = load()
    options = replace(options, options_if_any=classifier.reads_options, decision=decision)
    counts = BulkCounts()
    if target is None:
        for answers in classify_rows(classifier, path, options, counts):
            sys.stdout.writelines(f"{json_text(answer)}\n" for answer in answers)
            sys.stdout.flush()
        print_counts(counts)
        return
    # 5) Or into a file.
    with progress_bar("Classifying", rows, "questions") as bar:
        counts = classify_file(
            classifier, path, target, options, csv_encoding=csv_encoding,
            run=model_identity(classifier, model, base, dtype, engine), on_progress=bar.update,
        )  # fmt: skip
    result = {"output": output, "rows": counts.rows}
    print_counts(counts)
    typer.echo(json.dumps(result) if as_json else f"{counts.rows:,} questions classified in {output}")


def _answer(
    classifier: QuestionClassifier,
    decision: Decision,
    questions: Sequence[Question],
    top_k: int,
    *,
    explain: bool,
    as_json: bool,
) -> None:
    """Print the answers to some questions."""
    for question, prediction in zip(questions, classifier.classify(questions, decision=decision), strict=True):
        explanation = classifier.explain(question) if explain else None
        if as_json:
            reason = {"explanation": explanation.to_dict()} if explanation else {}
            typer.echo(json.dumps(prediction_json(prediction, top_k) | reason))
        else:
            typer.echo(prediction_text(prediction, top_k, classifier.min_in_scope))
            if explanation:
                print_explanation(explanation)
