"""Measure explanations, your own labels, and answers under typing errors. Resumes; finished steps are skipped.

    python benchmarks/reasons.py --source MMLU_PRO [--base SHOWN=WHERE ...] [--only PART ...]

`evidence`: on 200 test questions of `grouped`, how hiding the three words of strongest evidence changes the
probability of the answer, compared with three random words; the cost of an explanation, in classifications.
`sentences`: for every twentieth of those questions, by the embedded base and by every other --base; unselected.
`typing`: the shipped adapter and TF-IDF + linear SVM under noise; the shipped adapter on conversational questions.
`labels`: zero-shot with the YAML files in examples/, and a model trained on examples/support_requests.
Writes benchmarks/results/reasons.json, where parts that are not requested keep their results.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from common import (
    HERE,
    WORK,
    auroc,
    evaluate,
    evenly_spaced,
    metric_text,
    read_report,
    read_results,
    split,
    table,
    train,
    write_results,
)

from subjectwise.classifier import Classifier
from subjectwise.data.split import open_split
from subjectwise.explain.evidence import hide
from subjectwise.explain.sentence import SentenceWriter
from subjectwise.labels import LabelSet
from subjectwise.models.generating_base import load_generator
from subjectwise.records import Example, Explanation, Prediction
from subjectwise.statistics.intervals import proportion_interval
from subjectwise.types import JsonObject
from subjectwise.utils.versions import library_versions

REPORTS = WORK / "reasons"
EXAMPLES = HERE.parent / "examples"
QUESTIONS, SENTENCES, HIDDEN = 200, 10, 3
MISTYPED_ROWS, NOISY_ROWS = 1200, 300  # for typing errors, and for each other kind of noise


def drawn_rows(source: str) -> list[Example]:
    """Return test rows of `grouped`, evenly spaced, without options."""
    rows = open_split(split("grouped", source)).examples("test")
    return [rows[index].without_options() for index in evenly_spaced(QUESTIONS, len(rows))]


def evidence(source: str, bases: Mapping[str, str]) -> JsonObject:
    """Measure what hiding the strongest words changes, and what an explanation costs."""
    questions = [row.question.text for row in drawn_rows(source)]
    classifier = Classifier.from_pretrained()
    classifier.explain(questions[0])
    reasons, answering, explaining = [], [], []
    for question in questions:
        started = time.perf_counter()
        classifier.classify(question)
        between = time.perf_counter()
        reasons.append(classifier.explain(question))
        answering.append(between - started)
        explaining.append(time.perf_counter() - between)
    generator = np.random.default_rng(0)
    without_strongest = [hide(reason.question, _strongest_words(reason)) for reason in reasons]
    without_random = [hide(reason.question, _random_words(reason.question, generator)) for reason in reasons]
    after = classifier.predict_proba([*without_strongest, *without_random])
    columns = [classifier.labels.index(reason.label) for reason in reasons]
    scores = np.array([reason.score for reason in reasons])
    changes = np.abs(scores[None] - after.reshape(2, QUESTIONS, -1)[:, range(QUESTIONS), columns])  # [2, questions]
    return {
        "questions": QUESTIONS,
        "hidden_words": HIDDEN,
        "evidence_changes_more": asdict(proportion_interval(int((changes[0] > changes[1]).sum()), QUESTIONS)),
        "median_change": {"evidence": float(np.median(changes[0])), "random": float(np.median(changes[1]))},
        "median_factor": float(np.median(changes[0] / np.maximum(changes[1], 1e-9))),
        "cost": {
            "of_all": sum(explaining) / sum(answering),
            "median": float(np.median(np.array(explaining) / np.array(answering))),
            "median_seconds": float(np.median(explaining)),
        },
    }


def sentences(source: str, bases: Mapping[str, str]) -> list[JsonObject]:
    """Write sentences for every twentieth question with each base."""
    classifier = Classifier.from_pretrained()
    reasons = [classifier.explain(row.question) for row in drawn_rows(source)[:: QUESTIONS // SENTENCES]]
    names = list(classifier.labels)
    written = {}
    for shown, path in {"embedded": "embedded", **bases}.items():
        writer = SentenceWriter(*load_generator(path))
        written[shown] = [writer.write(reason, names) for reason in reasons]
    return [
        {
            "question": reason.question,
            "label": reason.label,
            "evidence": [item.text for item in reason.strongest()],
            **{shown: sentences[number] for shown, sentences in written.items()},
        }
        for number, reason in enumerate(reasons)
    ]


def _strongest_words(reason: Explanation) -> list[tuple[int, int]]:
    """Return the spans of the words of strongest evidence; runs of words that were not divided come after all words."""
    words = sorted(reason.evidence, key=lambda item: (" " in item.text, -item.weight))[:HIDDEN]
    return [(item.start, item.end) for item in words]


def _random_words(text: str, generator: np.random.Generator) -> list[tuple[int, int]]:
    ends = np.cumsum([len(part) + 1 for part in text.split(" ")]) - 1
    words = [(int(end) - len(part), int(end)) for part, end in zip(text.split(" "), ends, strict=True) if part.strip()]
    chosen = generator.choice(len(words), size=min(HIDDEN, len(words)), replace=False)
    return [words[index] for index in chosen]


def typing(source: str, bases: Mapping[str, str]) -> JsonObject:
    """Measure two predictors under noise, and the shipped adapter on conversational questions."""
    data = split("grouped", source)
    mistyped = ["--perturb", "typos", "--limit", str(MISTYPED_ROWS)]
    others = ["--limit", str(NOISY_ROWS)]
    for kind in ("case", "spacing", "no-punctuation", "paraphrase-lead-in"):
        others += ["--perturb", kind]
    results: JsonObject = {}
    for name, predictor in (("shipped", "shipped"), ("tfidf-svm", "baseline:tfidf-svm")):
        typos = read_report(evaluate(REPORTS / f"{name}-typos", predictor, data, *mistyped))
        rest = read_report(evaluate(REPORTS / f"{name}-noise", predictor, data, *others))
        results[name] = {
            "accuracy": typos["metrics"]["accuracy"],
            "noise": {**typos["robustness"], **rest["robustness"]},
            "rows": {"typos": typos["data"]["rows"], "others": rest["data"]["rows"]},
        }
    spoken = HERE.parent / "data" / "conversational_questions.jsonl"
    report = evaluate(REPORTS / "conversational", "shipped", spoken)
    results["conversational"] = read_report(report)["metrics"] | {"rows": read_report(report)["data"]["rows"]}
    results["out_of_scope_auroc"] = _out_of_scope_auroc(report)
    return results


def _out_of_scope_auroc(report: Path) -> dict[str, float]:
    """Return the AUROC of each sign in separating conversational questions from out-of-scope requests."""
    lines = (HERE.parent / "data" / "conversational_out_of_scope.jsonl").read_text(encoding="utf-8").splitlines()
    foreign = Classifier.from_pretrained().score([json.loads(line)["question"] for line in lines])
    assert foreign.label_mass is not None
    known = [json.loads(line) for line in (report / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    return {
        "label_mass": auroc([row["label_mass"] for row in known], foreign.label_mass),
        "top score": auroc([row["score"] for row in known], foreign.probabilities.max(axis=1)),
    }


def labels(source: str, bases: Mapping[str, str]) -> JsonObject:
    """Measure label files without training, and a model trained on rows of one of them."""
    results: JsonObject = {}
    drawn = drawn_rows(source)
    requests = open_split(split("support", str(EXAMPLES / "support_requests" / "requests.csv"), "grouped"))
    asked = [row.without_options() for row in requests.examples("test")]
    for shown, path in {"embedded": "embedded", **bases}.items():
        for name, file, examples in (
            ("the 14 of the card", EXAMPLES / "mmlu_pro_labels.yaml", drawn),
            ("12 kinds of support request", EXAMPLES / "support_requests" / "labels.yaml", asked),
        ):
            classifier = Classifier.zero_shot(LabelSet.from_yaml(file), base=path)
            results[f"{name}, zero-shot, {shown}"] = _accuracy(classifier, examples)
        many = LabelSet.from_yaml(EXAMPLES / "banking_labels.yaml")
        classifier = Classifier.zero_shot(many, base=path)
        started = time.perf_counter()
        answers = classifier.predict_proba([row.question for row in asked])
        seconds = time.perf_counter() - started
        results[f"77 kinds of request to a bank, {shown}"] = {
            "labels": len(many),
            "rows": len(asked),
            "sums_to_one": bool(np.allclose(answers.sum(axis=1), 1)),
            "questions_per_second": len(asked) / seconds,
        }
    model = train("support", "small", requests.path, "--set", "training.epochs=12")
    for name, predictor in (("trained, small", model), ("TF-IDF + linear SVM", "baseline:tfidf-svm")):
        report = read_report(evaluate(REPORTS / f"support-{name.split(',')[0]}", predictor, requests.path))
        results[f"12 kinds of support request, {name}"] = {
            "rows": report["data"]["rows"],
            "accuracy": report["metrics"]["accuracy"],
            "ece": report["metrics"]["ece"],
        }
    return results


def _accuracy(classifier: Classifier, examples: Sequence[Example]) -> JsonObject:
    questions, truth = [row.question for row in examples], [row.label for row in examples]

    def accuracy(predictions: Sequence[Prediction]) -> dict[str, float]:
        hits = sum(item.label == label for item, label in zip(predictions, truth, strict=True))
        return asdict(proportion_interval(hits, len(truth)))

    return {
        "labels": len(classifier.labels),
        "rows": len(truth),
        "accuracy": accuracy(classifier.classify(questions)),
        "with_batch_prior": accuracy(classifier.classify(questions, prior_correction="batch")),
    }


PARTS = {"evidence": evidence, "sentences": sentences, "typing": typing, "labels": labels}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="TIGER-Lab/MMLU-Pro")
    parser.add_argument(
        "--base", action="append", default=[], metavar="SHOWN=WHERE", help="another base to try as well"
    )
    parser.add_argument("--only", action="append", choices=PARTS, help="measure this part; may be repeated")
    arguments = parser.parse_args()
    bases = dict(pair.split("=", 1) for pair in arguments.base)
    results = read_results("reasons.json")
    for name, part in PARTS.items():
        if arguments.only is None or name in arguments.only:
            results[name] = part(arguments.source, bases)
            write_results("reasons.json", results | {"versions": library_versions()})
    show(results)


def show(results: JsonObject) -> None:
    """Print the tables of docs/explanations.md."""
    for name, print_part in (
        ("evidence", _show_evidence),
        ("sentences", _show_sentences),
        ("typing", _show_typing),
        ("labels", _show_labels),
    ):
        if name in results:
            print_part(results[name])


def _show_evidence(part: JsonObject) -> None:
    share, cost = part["evidence_changes_more"], part["cost"]
    print(
        f"\nHiding the {HIDDEN} words of strongest evidence changes the probability of the answer more than hiding "
        f"{HIDDEN} random words on {metric_text('accuracy', share)} % of {part['questions']} questions; by a median "
        f"factor of {part['median_factor']:.1f} ({part['median_change']['evidence']:.4f} against "
        f"{part['median_change']['random']:.4f})."
    )
    print(
        f"An explanation costs {cost['of_all']:.1f} classifications of the same question (median "
        f"{cost['median']:.1f}), {cost['median_seconds']:.2f} s."
    )


def _show_sentences(part: Sequence[JsonObject]) -> None:
    for row in part:
        print(f"\n{row['question'][:200]}\n  {row['label']}: {', '.join(row['evidence'])}")
        for shown in [key for key in row if key not in ("question", "label", "evidence")]:
            print(f"  {shown}: {row[shown]}")


def _show_typing(part: JsonObject) -> None:
    rows = []
    for name in ("shipped", "tfidf-svm"):
        for kind, levels in part[name]["noise"].items():
            for row in levels:
                change = {end: 100 * value for end, value in row["change"].items()}
                rows.append(
                    [
                        kind,
                        row["level"],
                        name,
                        metric_text("accuracy", row["accuracy"]),
                        f"{change['value']:+.1f} [{change['low']:+.1f}, {change['high']:+.1f}]",
                        metric_text("accuracy", row["labels_kept"]),
                    ]
                )
    header = ["noise", "level", "predictor", "accuracy", "change", "labels kept"]
    print("\n" + table(header, sorted(rows, key=lambda row: (row[0], row[1]))))
    print(f"\nconversational questions: {metric_text('accuracy', part['conversational']['accuracy'])}")
    print("AUROC, out of scope:", {key: round(value, 3) for key, value in part["out_of_scope_auroc"].items()})


def _show_labels(part: JsonObject) -> None:
    lines = [
        [
            name,
            str(row["rows"]),
            metric_text("accuracy", row["accuracy"]) if "accuracy" in row else "",
            metric_text("accuracy", row["with_batch_prior"]) if "with_batch_prior" in row else "",
        ]
        for name, row in part.items()
    ]
    print("\n" + table(["labels", "rows", "no correction", "batch calibration"], lines))


if __name__ == "__main__":
    main()
