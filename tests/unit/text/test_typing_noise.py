"""Typing noise is seeded, has the rate that was requested, and leaves options as they are."""

from __future__ import annotations

import numpy as np
import pytest

from subjectwise.errors import DataError
from subjectwise.records import Question
from subjectwise.text.typing_noise import LEVELS, add_typos, augmented, perturb_questions

TEXT = "Which of the following best describes the Nash equilibrium of this two-player game, x^2 + 3 = 12?"
QUESTIONS = [Question(f"{TEXT} Case {number}.", options=("one", "two")) for number in range(200)]


@pytest.mark.parametrize(("kind", "level"), [(kind, level) for kind, levels in LEVELS.items() for level in levels])
def test_noise_is_seeded_and_leaves_the_options(kind: str, level: str) -> None:
    noisy = perturb_questions(QUESTIONS, kind, level, seed=3)
    assert noisy == perturb_questions(QUESTIONS, kind, level, seed=3)
    assert all(question.options == ("one", "two") for question in noisy)
    assert sum(after.text != before.text for after, before in zip(noisy, QUESTIONS, strict=True)) > 100
    if kind in ("typos", "spacing", "paraphrase-lead-in"):
        assert noisy != perturb_questions(QUESTIONS, kind, level, seed=4)


def test_typos_hit_letters_alone() -> None:
    assert add_typos("12 + 3.5 = (15.5)", 1.0, np.random.default_rng(0)) == "12 + 3.5 = (15.5)"
    assert add_typos(TEXT, 0.0, np.random.default_rng(0)) == TEXT
    assert add_typos(TEXT, 1.0, np.random.default_rng(0)) != TEXT


def test_the_rate_of_mistyped_letters_is_the_level() -> None:
    single = "a " * 5000  # single letters, which cannot be swapped, so each hit changes one word
    words = add_typos(single, 0.05, np.random.default_rng(1)).split(" ")
    assert sum(word != "a" for word in words[:-1]) / 5000 == pytest.approx(0.05, abs=0.01)


def test_what_each_kind_does() -> None:
    one = [Question("Don't panic: it's 3.5 N, isn't it?")]
    assert perturb_questions(one, "case", "upper")[0].text == "DON'T PANIC: IT'S 3.5 N, ISN'T IT?"
    assert perturb_questions(one, "case", "lower")[0].text == "don't panic: it's 3.5 n, isn't it?"
    assert perturb_questions(one, "no-punctuation", "all")[0].text == "Dont panic its 3 5 N isnt it"
    assert perturb_questions(one, "paraphrase-lead-in", "all")[0].text.endswith(one[0].text)
    spaced = perturb_questions([Question(TEXT)], "spacing", "0.1")[0].text
    assert spaced.replace(" ", "") == TEXT.replace(" ", "") and spaced != TEXT
    assert perturb_questions([Question("???")], "no-punctuation", "all")[0].text == "???"


@pytest.mark.parametrize(
    ("kind", "level", "part"),
    [
        ("noise", "0.1", "Unknown noise 'noise'; choose one of typos"),
        ("typos", "much", "must be a rate from 0 to 1"),
        ("case", "odd", "must be lower or upper"),
    ],
)
def test_unknown_noise_is_refused(kind: str, level: str, part: str) -> None:
    with pytest.raises(DataError, match=part):
        perturb_questions([Question("a")], kind, level)


def test_augmentation_depends_on_its_generator_alone() -> None:
    drawn = [augmented(TEXT, "noise", np.random.default_rng([1, number])) for number in range(200)]
    assert drawn == [augmented(TEXT, "noise", np.random.default_rng([1, number])) for number in range(200)]
    assert {TEXT.upper(), TEXT.lower()} < set(drawn) and len(set(drawn)) > 100
    typed = [augmented(TEXT, "typos", np.random.default_rng([1, number])) for number in range(200)]
    assert TEXT.upper() not in typed
    assert augmented("a", "typos", np.random.default_rng(3)).strip(), "no question is left empty"
