"""Misspelt words are corrected; everything else stays as it was typed."""

from __future__ import annotations

from string import ascii_lowercase
from typing import Any

import pytest
from spellchecker import SpellChecker

from subjectwise.errors import RecipeError
from subjectwise.recipe import LANGUAGES, SPELLINGS, PromptSettings, load_recipe
from subjectwise.records import Question
from subjectwise.text.spelling import SpellingCorrector, count_words
from subjectwise.text.typing_noise import perturb_questions

TEXT = "Which organelle of a plant cell turns the light of the sun into chemical energy?"


@pytest.fixture(scope="module")
def corrector() -> SpellingCorrector:
    return SpellingCorrector("en", {"kubernetes": 5, "the": 9, "fibre": 2})


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("What is the enrgy of a photon?", "What is the energy of a photon?"),  # a letter missing
        ("What is the enerrgy of a photon?", "What is the energy of a photon?"),  # one too many
        ("What is the enwrgy of a photon?", "What is the energy of a photon?"),  # another letter
        ("What is the enegry of a photon?", "What is the energy of a photon?"),  # two swapped
        ("Waht is the energy? Hwo is it found?", "What is the energy? How is it found?"),
        ("what is the job of kuberntes here", "what is the job of kubernetes here"),
        ("Is well-konwn law known?", "Is well-known law known?"),
    ],
)
def test_one_typing_error_per_word_is_corrected(corrector: SpellingCorrector, typed: str, meant: str) -> None:
    assert corrector.correct(typed) == meant
    assert corrector.correct(meant) == meant


@pytest.mark.parametrize(
    "text",
    [
        "Who was king of Uruk in the time of Gilgamash?",  # names
        "What does \\mathrm{enrgy} or $enrgy$ or enrgy_2 or x.enrgy() mean here?",  # formulas, programs
        "What is at https://exmaple.org/serach and who is nmae@exmaple.org today?",  # addresses
        "Is fibre a kind of food, and what is kubernetes for?",  # the training vocabulary
        "Qeul aetait le roii de Fracne danns cette annnee la?",  # another language
        "Is zxqvk a word?",  # no known word is near it
        "光速は何ですか",
        "",
    ],
)
def test_all_else_stays(corrector: SpellingCorrector, text: str) -> None:
    assert corrector.correct(text) == text


UNKNOWN = [f"wrod{first}{second}" for first in ascii_lowercase for second in ascii_lowercase]


@pytest.mark.parametrize(
    ("text", "most"),
    [
        ("x" * 50_000, 0),
        (" ".join(["is", *UNKNOWN] * 10), 0),
        (" ".join(["is what the"] * 700 + UNKNOWN), 0),
        (" ".join(["is what the"] * 700 + UNKNOWN[:128]), 128),
        (" ".join((["is what the"] * 700 + UNKNOWN[:128]) * 3), 128),
    ],
)
def test_no_text_looks_up_more_than_128_words(text: str, most: int, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str] = []
    edits = SpellChecker.edit_distance_1

    def counted(checker: SpellChecker, word: str) -> Any:
        looked_up.append(word)
        return edits(checker, word)

    monkeypatch.setattr(SpellChecker, "edit_distance_1", counted)
    SpellingCorrector("en", {"the": 9}).correct(text)
    assert len(looked_up) <= most and (looked_up or not most)


def test_of_several_corrections_the_one_in_most_training_rows_is_chosen() -> None:
    typed = "What does the cout say about it?"
    assert SpellingCorrector("en", {"court": 7}).correct(typed) == "What does the court say about it?"
    assert SpellingCorrector("en", {"out": 7}).correct(typed) == "What does the out say about it?"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("What is the photosyn thesis of a plant?", "What is the photosynthesis of a plant?"),
        ("Is it lig ht of a plant?", "Is it light of a plant?"),
        # A model learns from words without the space between them.
        ("Wha t is thelight of a pla nt?", "What is thelight of a plant?"),
    ],
)
def test_spaces_within_words_are_removed(typed: str, meant: str) -> None:
    words = dict.fromkeys(("what", "is", "the", "of", "a", "light", "photosynthesis", "plant"), 5)
    assert SpellingCorrector("en", words).correct(typed) == meant
    assert SpellingCorrector("en", words).correct(meant) == meant


def test_words_are_joined_by_the_training_vocabulary_alone() -> None:
    corrected = SpellingCorrector("en", {}).correct("What is the photosyn thesis of a plant?")
    assert corrected.count(" ") == 7


def test_words_are_counted_once_per_row_and_kept_from_two_rows_on() -> None:
    assert count_words(["The cell, the cell", "THE law", "a law"]) == {"law": 2, "the": 2}


def test_every_language_of_a_recipe_has_a_dictionary() -> None:
    assert sorted(LANGUAGES) == sorted(SpellChecker.languages())
    assert ("none", *LANGUAGES) == SPELLINGS
    for language in ("de", "fr"):
        assert SpellingCorrector(language, {}).correct("") == ""
    with pytest.raises(RecipeError, match="prompt.spelling is 'english'; it must be one of none, ar, de, en"):
        PromptSettings(spelling="english")
    with pytest.raises(RecipeError, match="prompt.spelling is 'en'; it must be none for a head"):
        load_recipe("head", ["prompt.spelling=en"])


def test_most_typing_errors_of_long_words_are_corrected() -> None:
    corrector = SpellingCorrector("en", {})
    typed = perturb_questions([Question(TEXT)] * 200, "typos", "0.02")
    same = sum(corrector.correct(question.text) == TEXT for question in typed)
    assert same > 1.5 * sum(question.text == TEXT for question in typed)
