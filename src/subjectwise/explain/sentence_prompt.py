"""What a model reads before it writes the sentence of an explanation, "This is physics because ...".

A base without training is shown examples; an adapter that was trained to write sentences needs none.
"""

from __future__ import annotations

from collections.abc import Sequence

from subjectwise.records import Explanation

# Characters of a question in the prompt.
_MOST_CHARACTERS = 600

# Evidence of more words than these is a run, too long to name.
_MOST_WORDS = 3

_EXAMPLES = (
    (
        "How do neurons transmit signals?",
        "biology",
        "neurons, signals",
        "neurons are cells, and how they pass on signals is part of how a living body works.",
    ),
    (
        "What does a tenant owe when the lease ends early?",
        "law",
        "tenant, lease",
        "a lease is a contract, and it asks what a tenant is bound to under it.",
    ),
    (
        "My parcel says delivered but nothing came",
        "delivery",
        "parcel, delivered",
        "the parcel was sent and has not arrived where it should.",
    ),
)


def telling_words(explanation: Explanation) -> list[str]:
    """Return at most three pieces of evidence for the label, strongest first."""
    return [item.text for item in explanation.strongest(8) if len(item.text.split()) <= _MOST_WORDS][:3]


def sentence_start(label: str) -> str:
    """Return how the sentence begins."""
    return f"This is {label} because"


def base_prompt(explanation: Explanation, words: Sequence[str]) -> str:
    """Return the prompt for a base without training, with examples, up to the sentence."""
    examples = [
        _example(question, label, hints) + f"{sentence_start(label)} {reason}\n"
        for question, label, hints, reason in _EXAMPLES
    ]
    return "\n".join([*examples, _example(_shortened(explanation.question), explanation.label, ", ".join(words))])


def trained_prompt(explanation: Explanation, words: Sequence[str]) -> str:
    """Return the prompt for an adapter that was trained on it, up to the sentence."""
    return f"Question: {_shortened(explanation.question)}\nTelling words: {', '.join(words)}\n"


def _example(question: str, label: str, words: str) -> str:
    return f"Question: {question}\nSubject: {label}\nTelling words: {words}\nReason: "


def _shortened(text: str) -> str:
    text = " ".join(text.split())
    half = _MOST_CHARACTERS // 2
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:half]} ... {text[-half:]}"
