"""Questions as people type them: seeded noise that leaves the subject as it is. Knows text; knows no model."""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from subjectwise.errors import DataError
from subjectwise.records import Question

# Shares of characters for the kinds that have a rate; for the others the name of what is done to all of them.
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
    """The levels at which a kind of noise is measured; DataError for an unknown kind."""
    if kind not in LEVELS:
        raise DataError(f"{kind!r} is no kind of noise; choose one of {', '.join(LEVELS)}.")
    return LEVELS[kind]


def perturb_questions(questions: Sequence[Question], kind: str, level: str, seed: int = 0) -> list[Question]:
    """The questions with noise in their text; options stay as they are.

    The same question at the same place has the same noise whatever the others are.

    Args:
        kind: one of `LEVELS`. `typos`: letters replaced by a neighbour on the keyboard, left out, doubled or changed
            with the next, a quarter each; `case`: all in lower or upper case; `spacing`: spaces left out or doubled,
            or put in words; `no-punctuation`: without any; `paraphrase-lead-in`: with a sentence of small talk before.
        level: for `typos` the share of letters, for `spacing` that of characters; else what `LEVELS` lists.

    Raises:
        DataError: an unknown kind, or a level that it does not have.
    """
    levels_of(kind)
    changed = _change(kind, level)
    found = []
    for number, question in enumerate(questions):
        text = changed(question.text, np.random.default_rng([seed, number]))
        # A question of punctuation alone, or of a letter that is left out, stays as it was.
        found.append(replace(question, text=text) if text.strip() else question)
    return found


def augmented(text: str, kind: str, generator: np.random.Generator) -> str:
    """`text` as training shows it under `training.augment=kind`: `typos`, or `noise` for every kind but a lead-in.

    Six in ten of `noise` are typing errors, at rates up to 12 %; the rest capitals or none, spaces and punctuation.
    """
    drawn, rate = generator.random(2)
    if kind == "typos" or drawn < 0.6:
        found = add_typos(text, 0.12 * rate, generator)
    elif drawn < 0.8:
        found = text.upper() if rate < 0.5 else text.lower()
    elif drawn < 0.9:
        found = _change_spacing(text, 0.12 * rate, generator)
    else:
        found = _without_punctuation(text)
    return found if found.strip() else text


def _change(kind: str, level: str) -> Callable[[str, np.random.Generator], str]:
    if kind in ("typos", "spacing"):
        try:
            rate = float(level)
        except ValueError:
            rate = -1.0
        if not 0 <= rate <= 1:
            raise DataError(f"The level of {kind} is {level!r}; it must be a share from 0 to 1.")
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
    """`text` with a share `rate` of its letters mistyped."""
    letters = list(text)
    hit = generator.random(len(letters)) < rate
    how = generator.integers(4, size=len(letters))
    place = 0
    while place < len(letters):
        letter = letters[place]
        if hit[place] and letter.isalpha():
            following = letters[place + 1] if place + 1 < len(letters) else ""
            if how[place] == 0:
                letters[place] = _neighbour(letter, generator)
            elif how[place] == 1:
                letters[place] = ""
            elif how[place] == 2 or not following.isalpha():
                letters[place] = letter + letter
            else:
                letters[place], letters[place + 1] = following, letter
                place += 1
        place += 1
    return "".join(letters)


def _neighbour(letter: str, generator: np.random.Generator) -> str:
    """A key beside or above that of `letter`; the letter itself where the keyboard has none."""
    low = letter.lower()
    for number, row in enumerate(_KEYBOARD):
        if (place := row.find(low)) >= 0:
            near = row[max(0, place - 1) : place] + row[place + 1 : place + 2]
            near += _KEYBOARD[number - 1][place : place + 1] if number else ""
            chosen = near[int(generator.integers(len(near)))]
            return chosen.upper() if letter.isupper() else chosen
    return letter


def _change_spacing(text: str, rate: float, generator: np.random.Generator) -> str:
    """`text` with a share `rate` of its characters at fault: spaces left out or doubled, or a space put after one."""
    hit = generator.random(len(text)) < rate
    drop = generator.random(len(text)) < 0.5
    found = []
    for place, character in enumerate(text):
        if hit[place] and character == " ":
            found.append("" if drop[place] else "  ")
        elif hit[place] and not character.isspace():
            found.append(character + " ")
        else:
            found.append(character)
    return "".join(found)
