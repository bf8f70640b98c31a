"""Descriptions of the subjects of MMLU-Pro, for models whose labels have none of their own."""

from __future__ import annotations

from subjectwise.labels import MMLU_PRO_LABELS, LabelSet

DESCRIPTIONS = {
    "biology": "Living things: cells, genetics, evolution, ecology, anatomy of plants and animals.",
    "business": "Companies: management, marketing, accounting, corporate finance, business ethics.",
    "chemistry": "Substances and their reactions: elements, bonds, solutions, organic and physical chemistry.",
    "computer science": "Computing: algorithms, programming, data structures, networks, machine learning.",
    "economics": "Markets and economies: supply and demand, trade, money, inflation, econometrics.",
    "engineering": "Technical design: circuits, machines, structures, materials, fluids, control.",
    "health": "Medicine and health: the human body, diseases, nutrition, nursing, clinical practice.",
    "history": "The past: events, people, states and societies from prehistory to the present.",
    "law": "Legal questions: contracts, torts, crimes, constitutions, procedure, jurisprudence.",
    "math": "Mathematics: arithmetic, algebra, geometry, calculus, probability, statistics, logic puzzles.",
    "other": "Anything else, and questions across subjects.",
    "philosophy": "Ethics, knowledge, existence, logic, religion and the thinkers who wrote about them.",
    "physics": "Matter and energy: mechanics, electricity, waves, heat, light, relativity, astronomy.",
    "psychology": "Mind and behaviour: learning, memory, emotion, development, disorders, therapy.",
}


def label_descriptions(labels: LabelSet) -> dict[str, str]:
    """Return a description per label, empty where there is none."""
    known = DESCRIPTIONS if set(labels) == set(MMLU_PRO_LABELS) else {}
    return {name: labels.descriptions.get(name) or known.get(name, "") for name in labels}
