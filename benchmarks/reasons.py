"""Measures explanations, labels of one's own, and questions as people type them. Resumes; what is done is skipped.

    python benchmarks/reasons.py --source MMLU_PRO [--base SHOWN=WHERE ...] [--only PART ...]

`evidence`: on 200 test questions of `grouped`, what hiding the three words of strongest evidence does to the
probability of the answer, against three words drawn at random; what an explanation costs, in classifications.
`sentences`: of every twentieth of those questions, by the embedded base and by every other --base; unselected.
`typing`: the shipped adapter and TF-IDF + linear SVM under noise; the shipped adapter on conversational questions.
`labels`: zero-shot by the YAML files in examples/, and a model trained on examples/support_requests.
Writes benchmarks/results/reasons.json, where parts that are not asked for keep their figures.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from common import HERE, WORK, auroc, evaluate, read_report, read_results, split, table, train, write_results

from subjectwise.classifier import Classifier
from subjectwise.data.split import open_split
from subjectwise.evaluation.comparison import figure
from subjectwise.explain.evidence import hide
from subjectwise.explain.sentence import SentenceWriter
from subjectwise.labels import LabelSet
from subjectwise.models.base_model import load_base
from subjectwise.models.model_folder import library_versions
from subjectwise.records import Explanation, Question
from subjectwise.statistics import significance

REPORTS = WORK / "reasons"
EXAMPLES = HERE.parent / "examples"
QUESTIONS, SENTENCES, HIDDEN = 200, 10, 3
MISTYPED_ROWS, NOISY_ROWS = 1200, 300  # for typing errors, and for the other kinds of noise


def _drawn(source: str) -> list[str]:
    """Test questions of `grouped`, spread evenly."""
    rows = open_split(split("grouped", source)).examples("test")
    return [rows[place].question.text for place in np.linspace(0, len(rows) - 1, QUESTIONS).astype(int)]


def evidence(source: str, bases: Mapping[str, str]) -> dict[str, Any]:
    drawn = _drawn(source)
    classifier = Classifier.from_pretrained()
    classifier.explain(drawn[0])
    reasons, answering, explaining = [], [], []
    for question in drawn:
        started = time.perf_counter()
        classifier.classify(question)
        between = time.perf_counter()
        reasons.append(classifier.explain(question))
        answering.append(between - started)
        explaining.append(time.perf_counter() - between)
    generator = np.random.default_rng(0)
    telling = [hide(reason.question, _strongest_words(reason)) for reason in reasons]
    drawn_words = [hide(reason.question, _random_words(reason.question, generator)) for reason in reasons]
    after = classifier.predict_proba([*telling, *drawn_words])
    columns = [classifier.labels.index(reason.label) for reason in reasons]
    scores = np.array([reason.score for reason in reasons])
    changes = np.abs(scores[None] - after.reshape(2, QUESTIONS, -1)[:, range(QUESTIONS), columns])  # [2, questions]
    return {
        "questions": QUESTIONS,
        "hidden_words": HIDDEN,
        "evidence_changes_more": vars(significance.wilson_interval(int((changes[0] > changes[1]).sum()), QUESTIONS)),
        "median_change": {"evidence": float(np.median(changes[0])), "random": float(np.median(changes[1]))},
        "median_factor": float(np.median(changes[0] / np.maximum(changes[1], 1e-9))),
        "cost": {
            "of_all": sum(explaining) / sum(answering),
            "median": float(np.median(np.array(explaining) / np.array(answering))),
            "median_seconds": float(np.median(explaining)),
        },
    }


def sentences(source: str, bases: Mapping[str, str]) -> list[dict[str, Any]]:
    classifier = Classifier.from_pretrained()
    reasons = [classifier.explain(question) for question in _drawn(source)[:: QUESTIONS // SENTENCES]]
    names = list(classifier.labels)
    written = {}
    for shown, where in {"embedded": "embedded", **bases}.items():
        base = load_base(where)
        writer = SentenceWriter(base.model, base.tokenizer)
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
    """The places of the words of strongest evidence; a run of words that was not looked into stands behind all."""
    words = sorted(reason.evidence, key=lambda item: (" " in item.text, -item.weight))[:HIDDEN]
    return [(item.start, item.end) for item in words]


def _random_words(text: str, generator: np.random.Generator) -> list[tuple[int, int]]:
    ends = np.cumsum([len(part) + 1 for part in text.split(" ")]) - 1
    words = [(int(end) - len(part), int(end)) for part, end in zip(text.split(" "), ends, strict=True) if part.strip()]
    chosen = generator.choice(len(words), size=min(HIDDEN, len(words)), replace=False)
    return [words[place] for place in chosen]


def typing(source: str, bases: Mapping[str, str]) -> dict[str, Any]:
    data = split("grouped", source)
    mistyped = ["--perturb", "typos", "--limit", str(MISTYPED_ROWS)]
    others = ["--limit", str(NOISY_ROWS)]
    for kind in ("case", "spacing", "no-punctuation", "paraphrase-lead-in"):
        others += ["--perturb", kind]
    found: dict[str, Any] = {}
    for name, predictor in (("shipped", "shipped"), ("tfidf-svm", "baseline:tfidf-svm")):
        typos = read_report(evaluate(REPORTS / f"{name}-typos", predictor, data, *mistyped))
        rest = read_report(evaluate(REPORTS / f"{name}-noise", predictor, data, *others))
        found[name] = {
            "accuracy": typos["metrics"]["accuracy"],
            "noise": {**typos["robustness"], **rest["robustness"]},
            "rows": {"typos": typos["data"]["rows"], "others": rest["data"]["rows"]},
        }
    spoken = HERE.parent / "data" / "conversational_questions.jsonl"
    report = evaluate(REPORTS / "conversational", "shipped", spoken)
    found["conversational"] = read_report(report)["metrics"] | {"rows": read_report(report)["data"]["rows"]}
    found["out_of_scope_auroc"] = _told_apart(report)
    return found


def _told_apart(report: Path) -> dict[str, float]:
    """AUROC of each sign in telling conversational questions from requests that are none."""
    lines = (HERE.parent / "data" / "conversational_out_of_scope.jsonl").read_text(encoding="utf-8").splitlines()
    foreign = Classifier.from_pretrained().classify([json.loads(line)["question"] for line in lines])
    known = [json.loads(line) for line in (report / "predictions.jsonl").read_text(encoding="utf-8").splitlines()]
    return {
        "label_mass": auroc([row["label_mass"] for row in known], [item.label_mass or 0.0 for item in foreign]),
        "top score": auroc([row["score"] for row in known], [item.score for item in foreign]),
    }


def labels(source: str, bases: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    rows = open_split(split("grouped", source)).examples("test")
    drawn = [rows[place] for place in np.linspace(0, len(rows) - 1, QUESTIONS).astype(int)]
    requests = open_split(split("support", str(EXAMPLES / "support_requests" / "requests.csv"), "grouped"))
    asked = requests.examples("test")
    for shown, where in {"embedded": "embedded", **bases}.items():
        for name, file, examples in (
            ("the 14 of the card", EXAMPLES / "mmlu_pro_labels.yaml", drawn),
            ("12 kinds of support request", EXAMPLES / "support_requests" / "labels.yaml", asked),
        ):
            known = LabelSet.from_yaml(file)
            classifier = Classifier.zero_shot(known, base=where)
            found[f"{name}, zero-shot, {shown}"] = _accuracy(classifier, examples)
        many = LabelSet.from_yaml(EXAMPLES / "banking_labels.yaml")
        classifier = Classifier.zero_shot(many, base=where)
        started = time.perf_counter()
        answers = classifier.predict_proba([Question(row.question.text) for row in asked])
        seconds = time.perf_counter() - started
        found[f"77 kinds of request to a bank, {shown}"] = {
            "labels": len(many),
            "rows": len(asked),
            "sums_to_one": bool(np.allclose(answers.sum(axis=1), 1)),
            "questions_per_second": len(asked) / seconds,
        }
    model = train("support", "small", requests.path, "--set", "training.epochs=12")
    for name, predictor in (("trained, small", model), ("TF-IDF + linear SVM", "baseline:tfidf-svm")):
        report = read_report(evaluate(REPORTS / f"support-{name.split(',')[0]}", predictor, requests.path))
        found[f"12 kinds of support request, {name}"] = {
            "rows": report["data"]["rows"],
            "accuracy": report["metrics"]["accuracy"],
            "ece": report["metrics"]["ece"],
        }
    return found


def _accuracy(classifier: Classifier, examples: list[Any]) -> dict[str, Any]:
    names = list(classifier.labels)
    answers = classifier.classify([Question(row.question.text) for row in examples], prior_correction="none")
    levelled = classifier.classify([Question(row.question.text) for row in examples], prior_correction="batch")
    truth = [row.label for row in examples]

    def share(found: list[Any]) -> dict[str, float]:
        hits = sum(item.label == label for item, label in zip(found, truth, strict=True))
        return vars(significance.wilson_interval(hits, len(truth)))

    return {"labels": len(names), "rows": len(truth), "accuracy": share(answers), "with_batch_prior": share(levelled)}


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


def show(results: dict[str, Any]) -> None:
    if found := results.get("evidence"):
        share, cost = found["evidence_changes_more"], found["cost"]
        print(
            f"\nHiding the {HIDDEN} words of strongest evidence changes the probability of the answer more than hiding "
            f"{HIDDEN} at random on {figure('accuracy', share)} % of {found['questions']} questions; by a median "
            f"factor of {found['median_factor']:.1f} ({found['median_change']['evidence']:.4f} against "
            f"{found['median_change']['random']:.4f})."
        )
        print(
            f"An explanation costs {cost['of_all']:.1f} classifications of the same question (median "
            f"{cost['median']:.1f}), {cost['median_seconds']:.2f} s."
        )
    if found := results.get("sentences"):
        for row in found:
            print(f"\n{row['question'][:200]}\n  {row['label']}: {', '.join(row['evidence'])}")
            for shown in [key for key in row if key not in ("question", "label", "evidence")]:
                print(f"  {shown}: {row[shown]}")
    if found := results.get("typing"):
        rows = []
        for name in ("shipped", "tfidf-svm"):
            for kind, levels in found[name]["noise"].items():
                for row in levels:
                    change = row["change"]
                    rows.append(
                        [
                            kind,
                            row["level"],
                            name,
                            figure("accuracy", row["accuracy"]),
                            f"{100 * change['value']:+.1f} [{100 * change['low']:+.1f}, {100 * change['high']:+.1f}]",
                            figure("accuracy", row["labels_kept"]),
                        ]
                    )
        header = ["noise", "level", "predictor", "accuracy", "change", "labels kept"]
        print("\n" + table(header, sorted(rows, key=lambda row: (row[0], row[1]))))
        print(f"\nconversational questions: {figure('accuracy', found['conversational']['accuracy'])}")
        print("AUROC, out of scope:", {key: round(value, 3) for key, value in found["out_of_scope_auroc"].items()})
    if found := results.get("labels"):
        lines = [
            [
                name,
                str(row["rows"]),
                figure("accuracy", row["accuracy"]) if "accuracy" in row else "",
                figure("accuracy", row["with_batch_prior"]) if "with_batch_prior" in row else "",
            ]
            for name, row in found.items()
        ]
        print("\n" + table(["labels", "rows", "accuracy", "with the prior levelled"], lines))


if __name__ == "__main__":
    main()
