"""Whether spelling correction earns its place: the shipped model with and without it, on clean and on mistyped text.

    python benchmarks/spelling.py --data MIX [--model shipped] [--rows 400]

MIX is a split folder of `subjectwise data mix`; its validation rows are read. Clean text: every question that the
corrector would change, at most `--rows` of them spread over the kinds, answered both ways; what it leaves as it is
cannot differ. Mistyped text: as many questions spread over the kinds, with 2 and 5 % of their letters mistyped. Writes
benchmarks/results/spelling.json.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from common import evenly_spaced, table, write_results

from subjectwise import Classifier
from subjectwise.data.split import open_split
from subjectwise.records import Example, Question
from subjectwise.statistics.fair_labels import fair_labels
from subjectwise.text.spelling import SpellingCorrector, count_words
from subjectwise.text.typing_noise import perturb_questions
from subjectwise.types import BoolArray, JsonObject

TYPOS = ("0.02", "0.05")


def spread(rows: Sequence[Example], count: int) -> list[Example]:
    """Return at most `count` rows, as many of each kind as there are, each kind's spread evenly over its rows."""
    kinds = sorted({row.kind for row in rows})
    share = max(1, count // max(1, len(kinds)))
    chosen: list[Example] = []
    for kind in kinds:
        part = [row for row in rows if row.kind == kind]
        chosen += [part[index] for index in evenly_spaced(min(share, len(part)), len(part))]
    return chosen


class Answers:
    """The shipped model's answers.

    Args:
        classifier: reads questions as they are.
        corrector: mends their spelling beforehand.
    """

    def __init__(self, classifier: Classifier, corrector: SpellingCorrector) -> None:
        self._classifier, self._corrector = classifier, corrector

    def labels(self, questions: Sequence[Question], *, corrected: bool) -> list[str]:
        """Return the label of each question, its spelling corrected or not."""
        mended = [replace(row, text=self._corrector.correct(row.text)) for row in questions] if corrected else questions
        return [answer.label for answer in self._classifier.classify(list(mended))]


def right(rows: Sequence[Example], given: Sequence[str], labels: Sequence[str]) -> BoolArray:
    """Return for each row whether its label, or another fair one, was given."""
    fair = fair_labels(rows, labels)
    return np.array([fair[row, labels.index(label)] for row, label in enumerate(given)])


def clean_text(
    answers: Answers, rows: Sequence[Example], changed: Sequence[Example], labels: Sequence[str]
) -> JsonObject:
    """Return how the answers to the questions that the corrector changes differ."""
    questions = [row.question for row in changed]
    as_typed, corrected = (
        right(changed, answers.labels(questions, corrected=mended), labels) for mended in (False, True)
    )
    return {
        "questions": len(rows),
        "asked": len(changed),
        "right_as_typed": int(as_typed.sum()),
        "right_corrected": int(corrected.sum()),
        "made_right": int(np.sum(~as_typed & corrected)),
        "made_wrong": int(np.sum(as_typed & ~corrected)),
    }


def mistyped_text(answers: Answers, rows: Sequence[Example], labels: Sequence[str]) -> list[JsonObject]:
    """Return accuracy and labels kept at each rate of typing errors, both ways."""
    questions = [row.question for row in rows]
    clean = answers.labels(questions, corrected=False)
    results: list[JsonObject] = [{"rate": "0", "accuracy": float(right(rows, clean, labels).mean())}]
    for rate in TYPOS:
        noisy = perturb_questions(questions, "typos", rate)
        for corrected in (False, True):
            given = answers.labels(noisy, corrected=corrected)
            kept = float(np.mean([label == before for label, before in zip(given, clean, strict=True)]))
            accuracy = float(right(rows, given, labels).mean())
            results.append({"rate": rate, "corrected": corrected, "accuracy": accuracy, "labels_kept": kept})
    return results


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--model", default="shipped")
    parser.add_argument("--rows", type=int, default=400)
    arguments = parser.parse_args()
    data = open_split(arguments.data)
    classifier = Classifier.from_pretrained(None if arguments.model == "shipped" else arguments.model)
    labels = list(classifier.labels)
    corrector = SpellingCorrector("en", count_words(row.question.text for row in data.examples("train")))
    known = set(labels)
    rows = [replace(row, question=row.question.without_options()) for row in data.examples("validation")]
    rows = [row for row in rows if row.label in known]
    changed = [row for row in rows if corrector.correct(row.question.text) != row.question.text]
    answers = Answers(classifier, corrector)
    clean = {
        **clean_text(answers, rows, spread(changed, arguments.rows), labels),
        "changed": {kind: sum(row.kind == kind for row in changed) for kind in sorted({row.kind for row in rows})},
    }
    mistyped = mistyped_text(answers, spread(rows, arguments.rows), labels)
    write_results("spelling.json", {"rows": arguments.rows, "clean": clean, "mistyped": mistyped})
    print(
        f"\nclean text: {sum(clean['changed'].values())} of {clean['questions']:,} questions would be changed: ", end=""
    )
    print(", ".join(f"{kind} {count}" for kind, count in clean["changed"].items() if count))
    made = f"{clean['made_right']} made right, {clean['made_wrong']} made wrong"
    print(f"{clean['asked']} of them asked: {clean['right_as_typed']} right as typed, ", end="")
    print(f"{clean['right_corrected']} corrected ({made})\n")
    print(
        table(
            ["letters mistyped", "correction", "accuracy, any fair label", "labels kept"],
            [
                [
                    f"{float(part['rate']):.0%}",
                    "" if "corrected" not in part else "on" if part["corrected"] else "off",
                    f"{part['accuracy']:.1%}",
                    f"{part['labels_kept']:.1%}" if "labels_kept" in part else "",
                ]
                for part in mistyped
            ],
        )
    )


if __name__ == "__main__":
    main()
