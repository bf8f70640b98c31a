"""Classify some questions with the shipped adapter, and print what to try next."""

from __future__ import annotations

import time

from subjectwise import Classifier

QUESTIONS = [
    "What are the key principles of quantum mechanics?",
    "What is the optimal capital structure for a corporation?",
    "How do neurons transmit signals?",
    "What are the principles of contract law?",
    "How does cognitive bias affect decision making?",
    "A ball is thrown upwards at 12 m/s. How high does it rise?",
    "What is the time complexity of inserting into a balanced binary search tree?",
    "Which treaty ended the Thirty Years' War?",
]

NEXT = """
Try next:
  .venv/bin/subjectwise classify "your question"
  .venv/bin/subjectwise explain "your question"
  .venv/bin/subjectwise classify --input questions.csv --output subjects.jsonl
  .venv/bin/subjectwise --help

With everything else (make install):
  .venv/bin/subjectwise serve
  .venv/bin/subjectwise data split --source labelled.csv --output split
  .venv/bin/subjectwise train small --data split --output my-model --set training.epochs=12"""


def main() -> None:
    """Print one line per question: label, probability, time."""
    print("Loading the model (the first time also prepares it for this machine) ...", flush=True)
    started = time.perf_counter()
    classifier = Classifier.from_pretrained()
    print(f"Ready after {time.perf_counter() - started:.1f} s.\n")
    for question in QUESTIONS:
        started = time.perf_counter()
        answer = classifier.classify(question)
        seconds = time.perf_counter() - started
        print(f"{answer.label:<18} {answer.score:6.1%}  {seconds * 1000:4.0f} ms  {question}")
    print(NEXT)


if __name__ == "__main__":
    main()
