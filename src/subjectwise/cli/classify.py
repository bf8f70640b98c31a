"""`subjectwise classify`: questions into subjects."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from subjectwise.cli.options import BaseName, Device, Dtype, Engine, LabelFile, ModelName, OptionsColumn, QuestionColumn

if TYPE_CHECKING:
    from subjectwise.models.devices import Compute
    from subjectwise.records import Prediction, QuestionClassifier


def classify(
    questions: Annotated[list[str] | None, typer.Argument(help="One question or more, each in quotes.")] = None,
    input_file: Annotated[
        str, typer.Option("--input", "-i", help="A TXT, JSONL, CSV or parquet file, or - for standard input.")
    ] = "",
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A JSONL, CSV or parquet file to write; needs --input.")
    ] = None,
    model: ModelName = "",
    base: BaseName = "",
    labels: LabelFile = None,
    top_k: Annotated[int, typer.Option(min=1, help="How many labels to show.")] = 3,
    with_options: Annotated[
        bool, typer.Option("--with-options", help="Show the model the answer options in the input's options column.")
    ] = False,
    min_confidence: Annotated[
        float, typer.Option(min=0, max=1, help="Answer `abstain` where the probability is lower.")
    ] = 0.0,
    min_accuracy: Annotated[
        str, typer.Option(help="Abstain as often as this accuracy asks for on the validation rows: 0.95 or 0.99.")
    ] = "",
    multi_label: Annotated[bool, typer.Option("--multi-label", help="Give several labels where unsure.")] = False,
    prior_correction: Annotated[
        str,
        typer.Option(help="For a mix of subjects unlike the training rows': match finds it, batch levels it, or none."),
    ] = "none",
    explain: Annotated[
        bool, typer.Option("--explain", help="Show which words moved the answer; costs ten answers or so each.")
    ] = False,
    question_column: QuestionColumn = "",
    options_column: OptionsColumn = "",
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Note a row that cannot be read in its answer, and go on.")
    ] = False,
    device: Device = "auto",
    dtype: Dtype = "auto",
    engine: Engine = "pytorch",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object a question.")] = False,
) -> None:
    """Name the subject of questions, with calibrated probabilities.

    Example: `subjectwise classify "How do neurons transmit signals?"`

    A file: `subjectwise classify --input questions.csv --output subjects.jsonl`

    Labels of your own: `subjectwise classify --labels labels.yaml "Where is my parcel?"`
    """
    from subjectwise.cli.explain import explained, show_reason
    from subjectwise.errors import QuestionError, SubjectwiseError
    from subjectwise.models.devices import Compute
    from subjectwise.records import Decision, as_question

    if bool(questions) == bool(input_file):
        raise SubjectwiseError("Give either questions or --input FILE; see 'subjectwise classify --help'.")
    if output is not None and not input_file:
        raise SubjectwiseError("--output needs --input; a question on the command line is answered on the screen.")
    asked = [as_question(question) for question in questions or []]
    if asked and with_options:
        raise QuestionError("--with-options needs --input with a column of options.")
    if prior_correction != "none" and not input_file:
        raise SubjectwiseError("--prior-correction needs --input; a single question has no mix of subjects.")
    if min_confidence and min_accuracy:
        raise SubjectwiseError("Give --min-confidence or --min-accuracy, not both.")
    classifier = load(model, labels, base, Compute(device, dtype, engine))
    if classifier.warning:
        typer.echo(f"Warning: {classifier.warning}", err=True)
    minimum = _threshold(classifier, min_accuracy) if min_accuracy else min_confidence
    decision = Decision(minimum, multi_label)
    if asked:
        for question, prediction in zip(asked, classifier.classify(asked, decision=decision), strict=True):
            reason = classifier.explain(question) if explain else None
            if as_json:
                typer.echo(json.dumps(_as_object(prediction, top_k) | explained(reason)))
            else:
                typer.echo(_as_text(prediction, top_k))
                if reason:
                    show_reason(reason)
        return

    from subjectwise.bulk.classify_files import classify_file, classify_rows, json_line

    path = Path(input_file)
    shown = with_options or classifier.reads_options
    if output is None:
        for answers in classify_rows(
            classifier, path, question_column=question_column, options_column=options_column,
            with_options=shown, decision=decision, prior_correction=prior_correction, keep_going=keep_going,
            explain=explain,
        ):  # fmt: skip
            sys.stdout.writelines(map(json_line, answers))
            sys.stdout.flush()
        return
    from subjectwise.utils.progress import progress_bar

    with progress_bar("Classifying", _rows_of(path), "questions") as bar:
        rows = classify_file(
            classifier, path, output,
            run={"model": model, "base": base, "labels": list(classifier.labels), "dtype": dtype, "engine": engine},
            on_progress=bar.update, question_column=question_column, options_column=options_column,
            with_options=shown, decision=decision, prior_correction=prior_correction, keep_going=keep_going,
            explain=explain,
        )  # fmt: skip
    result = {"output": str(output), "rows": rows}
    typer.echo(json.dumps(result) if as_json else f"{rows:,} questions classified in {output}")


def load(model: str, labels: Path | None, base: str, compute: Compute) -> QuestionClassifier:
    """Load the predictor that answers, with the labels of a YAML file where one is given."""
    from subjectwise.labels import LabelSet
    from subjectwise.predictors import load_answering_predictor

    known = LabelSet.from_yaml(labels) if labels is not None else None
    return load_answering_predictor(model, known, base=base, compute=compute)


def _threshold(classifier: QuestionClassifier, accuracy: str) -> float:
    from subjectwise.errors import SubjectwiseError

    known = classifier.thresholds
    try:
        return known[f"{float(accuracy):g}"]
    except (KeyError, ValueError):
        has = f"it has {', '.join(known)}" if known else "it has none; 'subjectwise calibrate' finds them"
        raise SubjectwiseError(f"This model has no threshold for the accuracy {accuracy!r}: {has}.") from None


def _rows_of(path: Path) -> int | None:
    """The number of rows where the format tells it without reading them all, for the progress bar."""
    if path.suffix.lower() != ".parquet" or not path.is_file():
        return None
    import pyarrow.parquet

    try:
        return int(pyarrow.parquet.read_metadata(path).num_rows)
    except (OSError, pyarrow.ArrowInvalid):
        return None


def _as_object(prediction: Prediction, top_k: int) -> dict[str, object]:
    top = [{"label": label, "score": score} for label, score in prediction.top(top_k)]
    return prediction.to_dict() | {"top": top}


def _as_text(prediction: Prediction, top_k: int) -> str:
    from subjectwise.records import ABSTAIN

    lines = [prediction.question if len(prediction.question) <= 100 else prediction.question[:97] + "..."]
    if prediction.label == ABSTAIN:
        lines.append("  abstain: the best answer is below the minimum")
    elif len(prediction.labels) > 1:
        lines.append(f"  unsure, one of: {', '.join(prediction.labels)}")
    for label, score in prediction.top(top_k):
        lines.append(f"  {label:<18} {score:6.1%}  {'█' * round(score * 30)}")
    return "\n".join(lines) + "\n"
