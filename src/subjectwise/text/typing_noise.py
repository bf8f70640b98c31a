"""Typing noise: seeded changes to a question that keep its subject. Knows text; knows no model."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from subjectwise.errors import DataError
from subjectwise.records import Question

# The levels of each kind: rates per character where it has a rate, else the name of what is done to all of them.
LEVELS: dict[str, tuple[str, ...]] = {
    "typos": ("0.02", "0.05", "0.1"),
    "case": ("lower", "upper"),
    "spacing": ("0.02", "0.05", "0.1"),
    "no-punctuation": ("all",),
    "paraphrase-lead-in": ("all",),
}

_KEYBOARD = ("qwertyuiop", "asdfghjkl", "zxcvbnm")

_LEAD_INS = (
    "hey, can you help me with this: ",
    "I have an exam tomorrow. ",
    "Quick question - ",
    "Could you please explain the following? ",
    "my teacher asked us this and I don't get it. ",
    "Sorry if this is a silly question: ",
    "ok so ",
    "I was wondering about this one. ",
    "Help me with my homework: ",
    "Here's what I'm stuck on: ",
)


def levels_of(kind: str) -> tuple[str, ...]:
    """Return the levels at which a kind of noise is measured; raise DataError for an unknown kind."""
    if kind not in LEVELS:
        raise DataError(f"Unknown noise {kind!r}; choose one of {', '.join(LEVELS)}.")
    return LEVELS[kind]


def perturb_questions(questions: Sequence[Question], kind: str, level: str, seed: int = 0) -> list[Question]:
    """Return the questions with noise in their text; options stay as they are.

    A question at the same index has the same noise whatever the others are.

    Args:
        questions: to change.
        kind: one of `LEVELS`. `typos`: letters replaced by a neighbour on the keyboard, left out, doubled or swapped
            with the next, a quarter each; `case`: all in lower or upper case; `spacing`: spaces left out or doubled,
            or inserted into words; `no-punctuation`: without any; `paraphrase-lead-in`: small talk in front.
        level: for `typos` the rate per letter, for `spacing` per character; else what `LEVELS` lists.
        seed: of the noise.

    Raises:
        DataError: an unknown kind, or a level that it does not have.
    """
    levels_of(kind)
    change = _change(kind, level)
    noisy = []
    for number, question in enumerate(questions):
        text = change(question.text, np.random.default_rng([seed, number]))
        # A question of punctuation alone, or of a letter that is left out, stays as it was.
        noisy.append(replace(question, text=text) if text.strip() else question)
    return noisy


def augmented(text: str, kind: str, generator: np.random.Generator) -> str:
    """Return `text` as training shows it under `training.augment=kind`: `typos`, or `noise` for all but lead-ins.

    Six in ten of `noise` are typing errors, at rates up to 12 %; the rest change capitals, spaces or punctuation.
    """
    drawn, rate = generator.random(2)
    if kind == "typos" or drawn < 0.6:
        noisy = add_typos(text, 0.12 * rate, generator)
    elif drawn < 0.8:
        noisy = text.upper() if rate < 0.5 else text.lower()
    elif drawn < 0.9:
        noisy = _change_spacing(text, 0.12 * rate, generator)
    else:
        noisy = _without_punctuation(text)
    return noisy if noisy.strip() else text


def _change(kind: str, level: str) -> Callable[[str, np.random.Generator], str]:
    if kind in ("typos", "spacing"):
        try:
            rate = float(level)
        except ValueError:
            rate = -1.0
        if not 0 <= rate <= 1:
            raise DataError(f"The level of {kind} is {level!r}; it must be a rate from 0 to 1.")
        noise = add_typos if kind == "typos" else _change_spacing
        return lambda text, generator: noise(text, rate, generator)
    if level not in LEVELS[kind]:
        raise DataError(f"The level of {kind} is {level!r}; it must be {' or '.join(LEVELS[kind])}.")
    if kind == "case":
        return lambda text, generator: text.upper() if level == "upper" else text.lower()
    if kind == "no-punctuation":
        return lambda text, generator: _without_punctuation(text)
    return lambda text, generator: _LEAD_INS[int(generator.integers(len(_LEAD_INS)))] + text


_NO_PUNCTUATION = {ord(character): " " for character in string.punctuation if character != "'"} | {ord("'"): None}


def _without_punctuation(text: str) -> str:
    return " ".join(text.translate(_NO_PUNCTUATION).split())


def add_typos(text: str, rate: float, generator: np.random.Generator) -> str:
    """Return `text` with typing errors in a share `rate` of its letters."""
    letters = list(text)
    hit = generator.random(len(letters)) < rate
    how = generator.integers(4, size=len(letters))
    i = 0
    while i < len(letters):
        letter = letters[i]
        if hit[i] and letter.isalpha():
            following = letters[i + 1] if i + 1 < len(letters) else ""
            if how[i] == 0:
                letters[i] = _neighbour(letter, generator)
            elif how[i] == 1:
                letters[i] = ""
            elif how[i] == 2 or not following.isalpha():
                letters[i] = letter + letter
            else:
                letters[i], letters[i + 1] = following, letter
                i += 1
        i += 1
    return "".join(letters)


def _neighbour(letter: str, generator: np.random.Generator) -> str:
    """Return a key beside or above that of `letter`; the letter itself where the keyboard does not have it."""
    low = letter.lower()
    for number, row in enumerate(_KEYBOARD):
        if (column := row.find(low)) >= 0:
            near = row[max(0, column - 1) : column] + row[column + 1 : column + 2]
            near += _KEYBOARD[number - 1][column : column + 1] if number else ""
            chosen = near[int(generator.integers(len(near)))]
            return chosen.upper() if letter.isupper() else chosen
    return letter


def _change_spacing(text: str, rate: float, generator: np.random.Generator) -> str:
    """Return `text` with a share `rate` of its characters changed: spaces left out or doubled, or one inserted."""
    hit = generator.random(len(text)) < rate
    drop = generator.random(len(text)) < 0.5
    characters = []
    for i, character in enumerate(text):
        if hit[i] and character == " ":
            characters.append("" if drop[i] else "  ")
        elif hit[i] and not character.isspace():
            characters.append(character + " ")
        else:
            characters.append(character)
    return "".join(characters)
