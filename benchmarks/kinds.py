"""Measure the shipped model on every kind of question of the mixture. Resumes; finished steps are skipped.

    python benchmarks/kinds.py --source MMLU_PRO --textbook TEXTBOOK_QUESTIONS [--model shipped]

Mixes `data/mixture.yaml` and evaluates its test rows, each kind apart; MMLU-Pro's with options and mistyped as well;
and the seven questions of the model card that this project started from. Writes benchmarks/results/kinds.json. Twenty
minutes on two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from common import HERE, WORK, evaluate, metric_text, read_report, split, subjectwise, table, write_results

from subjectwise import Classifier
from subjectwise.types import JsonObject

CARD_QUESTIONS = {
    "What are the key principles of quantum mechanics?": "physics",
    "What is the optimal capital structure for a corporation?": "business",
    "How do neurons transmit signals?": "biology",
    "What are the principles of contract law?": "law",
    "What is the best strategy for corporate mergers?": "business",
    "How does cognitive bias affect decision making?": "psychology",
    "Explain the legal requirements for contract formation": "law",
}

# Rows that are drawn evenly where each is read several times, or is long.
OPTIONS = ("--with-options", "--limit", "600")
NOISE = ("--perturb", "typos", "--limit", "300")
KEYS = ("data", "metrics", "kinds", "scope", "robustness", "versions", "machine", "command")


def mixture(source: str, textbook: Path) -> Path:
    """Return the split folder of the mixture, made once."""
    folder = WORK / "mix"
    if not folder.exists():
        given = ("--source", f"mmlu-pro={split('grouped', source)}", "--source", f"textbook={textbook}")
        subjectwise("data", "mix", HERE.parent / "data" / "mixture.yaml", *given, "--output", folder)
    return folder


def measure(model: str, data: Path, name: str) -> dict[str, Path]:
    """Evaluate the model; return the folder of each report."""
    reports, mmlu = WORK / "reports", ("--kind", "mmlu-pro")
    return {
        "all kinds": evaluate(reports / f"{name}-kinds", model, data),
        "MMLU-Pro with options": evaluate(reports / f"{name}-kinds-options", model, data, *mmlu, *OPTIONS),
        "MMLU-Pro mistyped": evaluate(reports / f"{name}-kinds-typos", model, data, *mmlu, *NOISE),
    }


def card_answers(model: str) -> list[JsonObject]:
    """Return the model's answer to each question of the card, with the card's."""
    classifier = Classifier.from_pretrained(None if model == "shipped" else model)
    answers = classifier.classify(list(CARD_QUESTIONS))
    return [
        {"question": answer.question, "wanted": wanted, "label": answer.label, "score": answer.score}
        for answer, wanted in zip(answers, CARD_QUESTIONS.values(), strict=True)
    ]


def kind_table(kinds: Mapping[str, JsonObject]) -> str:
    """Return a table with one row per kind."""
    rows = []
    for name, kind in kinds.items():
        promised = kind["thresholds"].get("0.95", {})
        right = metric_text("accuracy", promised["accuracy"]) if promised.get("accuracy") else ""
        lowest = f"{kind['lowest_label']} {100 * kind['lowest_fair_accuracy']['value']:.1f}"
        accuracies = [metric_text("accuracy", kind[key]) for key in ("accuracy", "fair_accuracy")]
        rows.append([name, f"{kind['rows']:,}", *accuracies, lowest, f"{kind['fair_ece']:.3f}", right])
    heading = [
        "kind",
        "rows",
        "the label",
        "any fair label",
        "lowest label",
        "ECE, fair",
        "right where 95 % is promised",
    ]
    return table(heading, rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="TIGER-Lab/MMLU-Pro")
    parser.add_argument("--textbook", type=Path, required=True)
    parser.add_argument("--model", default="shipped")
    arguments = parser.parse_args()
    name = Path(arguments.model).name
    data = mixture(arguments.source, arguments.textbook)
    reports = {key: read_report(folder) for key, folder in measure(arguments.model, data, name).items()}
    results = {key: {part: report[part] for part in KEYS if part in report} for key, report in reports.items()}
    card = card_answers(arguments.model)
    write_results("kinds.json" if name == "shipped" else f"kinds-{name}.json", {**results, "card": card})
    whole = reports["all kinds"]
    print("\n" + kind_table(whole["kinds"]))
    options = reports["MMLU-Pro with options"]["metrics"]["accuracy"]
    print(f"\nMMLU-Pro with options: {metric_text('accuracy', options)}")
    for noise in reports["MMLU-Pro mistyped"]["robustness"]["typos"]:
        parts = [
            f"{key.replace('_', ' ')} {metric_text('accuracy', noise[key])}" for key in ("accuracy", "labels_kept")
        ]
        print(f"letters mistyped, {noise['level']}: {', '.join(parts)}")
    if scope := whole.get("scope"):
        shares = [metric_text("accuracy", scope[key]) for key in ("flagged", "questions_flagged")]
        print(f"no subject: AUROC {scope['auroc']:.4f}, flagged {shares[0]}, questions flagged {shares[1]}")
    for answer in card:
        mark = "right" if answer["label"] == answer["wanted"] else f"wrong, {answer['wanted']}"
        print(f"{answer['question']}  {answer['label']} {answer['score']:.1%} ({mark})")


if __name__ == "__main__":
    main()
