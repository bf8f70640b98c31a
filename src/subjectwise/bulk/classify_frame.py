"""The questions of a pandas frame: the frame with its answers in new columns. Does not import pandas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from subjectwise.classifier import Classifier
from subjectwise.data.cell_values import read_question
from subjectwise.errors import DataError, QuestionError
from subjectwise.question_classifier import QuestionClassifier
from subjectwise.records import ALWAYS_ONE, Decision, Prediction
from subjectwise.types import Progress

if TYPE_CHECKING:
    import pandas


def classify_frame(
    frame: pandas.DataFrame,
    column: str,
    classifier: QuestionClassifier | None = None,
    *,
    decision: Decision = ALWAYS_ONE,
    prior_correction: str = "none",
    probabilities: bool = False,
    prefix: str = "",
    on_progress: Progress | None = None,
) -> pandas.DataFrame:
    """Return a copy of a frame with the label of each question and its probability in new columns.

    The columns are `label` and `score`; `label_mass` and `in_scope` where the classifier has them, `best_label`,
    `labels` and `entropy` where the decision asks for them, `truncated` where a question was.

    Args:
        frame: of pandas, whatever its index.
        column: with the questions.
        classifier: None for the shipped model, which is then loaded for this call.
        decision: as for `Classifier.classify`.
        prior_correction: as for `Classifier.classify`.
        probabilities: whether there is a column with the probability of each label too, such as `p(physics)`.
        prefix: put before the names of all new columns.
        on_progress: called after each batch with the number of its questions.

    Raises:
        DataError: not a frame, no such column, or a new column has the name of an existing one.
        QuestionError: a question is missing, empty, too long or not text; its row is named by its index.
    """
    names = getattr(frame, "columns", None)
    if names is None or not hasattr(frame, "assign"):
        raise DataError(f"Cannot classify {type(frame).__name__}; give a pandas DataFrame, or a list to `classify`.")
    if list(names).count(column) != 1:
        listed = ", ".join(map(str, list(names)[:5]))
        raise DataError(f"The frame needs one column {column!r}; it has {len(names)} columns ({listed}).")
    questions = []
    for index, value in frame[column].items():
        try:
            # A missing value of pandas' own type is not NaN, and cannot be compared.
            questions.append(read_question(None if type(value).__name__ == "NAType" else value))
        except QuestionError as error:
            raise QuestionError(f"Row {index!r} of the column {column!r}: {error}") from error
    answering = classifier if classifier is not None else Classifier.from_pretrained()
    labels = answering.labels.names if probabilities else ()

    def columns(answers: Sequence[Prediction]) -> dict[str, list[object]]:
        added = {prefix + name: values for name, values in _columns(answers, labels).items()}
        taken = [name for name in added if name in names]
        if taken:
            raise DataError(f"The frame has a column {taken[0]!r}; give a prefix for the new columns, or rename it.")
        return added

    # One answer shows the columns, so that a name is refused before the others are answered.
    columns(answering.classify(questions[:1], decision=decision))
    answers = answering.classify(
        questions, decision=decision, prior_correction=prior_correction, on_progress=on_progress
    )
    return frame.assign(**columns(answers))


def _columns(answers: Sequence[Prediction], labels: Sequence[str]) -> dict[str, list[object]]:
    """Return the new columns by their names, in their order; with the probabilities of `labels`."""
    rows = [answer.to_dict() for answer in answers]
    wanted = dict.fromkeys(["label", "score", *(name for row in rows for name in row)])
    columns = {name: [row.get(name, False if name == "truncated" else None) for row in rows] for name in wanted}
    for name in ("question", "scores"):
        columns.pop(name, None)
    if all(value is None for value in columns.get("label_mass", ())):
        columns.pop("label_mass", None)
    return columns | {f"p({label})": [answer.scores[label] for answer in answers] for label in labels}
