"""Mistyped words are mended; everything else stays as it was typed."""

from __future__ import annotations

import shutil
import time
from pathlib import Path
from string import ascii_lowercase
from types import SimpleNamespace
from typing import Any

import pytest

from subjectwise.classifier import Classifier
from subjectwise.data.split import open_split
from subjectwise.errors import ModelFolderError, RecipeError
from subjectwise.labels import LabelSet
from subjectwise.models.devices import Compute
from subjectwise.models.model_config import VOCABULARY_FILE, read_config
from subjectwise.publish.hub import plan_upload
from subjectwise.recipe import SPELLINGS, HeadSettings, PromptSettings, load_recipe
from subjectwise.records import Question
from subjectwise.text.prompt import Prompt
from subjectwise.text.spelling import LANGUAGES, Speller, count_words
from subjectwise.text.typing_noise import perturb_questions
from subjectwise.training.calibrate_model import calibrate, with_spelling
from subjectwise.training.train import train

TEXT = "Which organelle of a plant cell turns the light of the sun into chemical energy?"


@pytest.fixture(scope="module")
def speller() -> Speller:
    return Speller("en", {"kubernetes": 5, "the": 9, "fibre": 2})


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("What is the enrgy of a photon?", "What is the energy of a photon?"),  # a letter left out
        ("What is the enerrgy of a photon?", "What is the energy of a photon?"),  # one too many
        ("What is the enwrgy of a photon?", "What is the energy of a photon?"),  # a wrong one
        ("What is the enegry of a photon?", "What is the energy of a photon?"),  # two changed about
        ("Waht is the energy? Hwo is it found?", "What is the energy? How is it found?"),
        ("what is the job of kuberntes here", "what is the job of kubernetes here"),
        ("Is well-konwn law known?", "Is well-known law known?"),
    ],
)
def test_one_slip_in_a_word_is_mended(speller: Speller, typed: str, meant: str) -> None:
    assert speller.mend(typed) == meant
    assert speller.mend(meant) == meant


@pytest.mark.parametrize(
    "text",
    [
        "Who was king of Uruk in the time of Gilgamash?",  # names
        "What does \\mathrm{enrgy} or $enrgy$ or enrgy_2 or x.enrgy() mean here?",  # formulas, programs
        "What is at https://exmaple.org/serach and who is nmae@exmaple.org today?",  # addresses
        "Is fibre a kind of food, and what is kubernetes for?",  # words of the training rows
        "Qeul aetait le roii de Fracne danns cette annnee la?",  # another language
        "Is zxqvk a word?",  # nothing near it is known
        "光速は何ですか",
        "",
    ],
)
def test_all_else_stays(speller: Speller, text: str) -> None:
    assert speller.mend(text) == text


STRANGE = [f"wrod{first}{second}" for first in ascii_lowercase for second in ascii_lowercase]


@pytest.mark.parametrize(
    "text", ["x" * 50_000, " ".join(["is", *STRANGE] * 10), " ".join(["is what the"] * 700 + STRANGE)]
)
def test_no_text_takes_long(speller: Speller, text: str) -> None:
    started = time.perf_counter()
    speller.mend(text)
    assert time.perf_counter() - started < 1


def test_of_several_words_the_one_of_most_training_rows_is_meant() -> None:
    assert Speller("en", {"court": 7}).mend("What does the cout say about it?") == "What does the court say about it?"
    assert Speller("en", {"out": 7}).mend("What does the cout say about it?") == "What does the out say about it?"


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("What is the photosyn thesis of a plant?", "What is the photosynthesis of a plant?"),
        ("Is it lig ht of a plant?", "Is it light of a plant?"),
        ("Wha t is thelight of a pla nt?", "What is thelight of a plant?"),  # a model learns from words run together
    ],
)
def test_spaces_in_words_are_mended(typed: str, meant: str) -> None:
    words = dict.fromkeys(("what", "is", "the", "of", "a", "light", "photosynthesis", "plant"), 5)
    assert Speller("en", words).mend(typed) == meant
    assert Speller("en", words).mend(meant) == meant
    assert Speller("en", {}).mend("What is the photosyn thesis of a plant?").count(" ") == 7, (
        "by words of the rows alone"
    )


def test_words_are_counted_once_a_row_and_from_two_rows_on() -> None:
    assert count_words(["The cell, the cell", "THE law", "a law"]) == {"law": 2, "the": 2}


def test_every_language_that_a_recipe_takes_has_a_dictionary() -> None:
    from spellchecker import SpellChecker

    assert sorted(LANGUAGES) == sorted(SpellChecker.languages())
    assert ("none", *LANGUAGES) == SPELLINGS
    for language in ("de", "fr"):
        Speller(language, {})
    with pytest.raises(RecipeError, match="prompt.spelling is 'english'; it must be one of none, ar, de, en"):
        PromptSettings(spelling="english")
    with pytest.raises(RecipeError, match="prompt.spelling is 'en'; it must be none for a head"):
        load_recipe("head", ["prompt.spelling=en"])


def test_the_model_reads_the_mended_question_and_its_options_as_they_are(tokenizer: Any) -> None:
    labels = LabelSet(("law", "physics"))
    plain, mending = (
        Prompt(tokenizer, labels, PromptSettings(spelling=spelling), words={}) for spelling in ("none", "en")
    )
    typed, meant = Question("What is the enrgy?", ("enrgy",)), Question("What is the energy?", ("enrgy",))
    for options in (False, True):
        assert mending.encode_question(typed, options) == plain.encode_question(meant, options)
        assert mending.render(typed, options) == plain.render(meant, options)
        assert plain.encode_question(typed, options) != plain.encode_question(meant, options)
    assert "spelling" not in plain.settings.to_dict()  # older versions read the folder
    assert mending.settings.to_dict()["spelling"] == "en"


def test_most_typing_errors_of_long_words_are_undone() -> None:
    speller = Speller("en", {})
    typed = perturb_questions([Question(TEXT)] * 200, "typos", "0.02")
    same = sum(speller.mend(question.text) == TEXT for question in typed)
    assert same > 1.5 * sum(question.text == TEXT for question in typed)


def test_calibrate_switches_it_on_and_off(tiny_model: Path, split_folder: Path, tmp_path: Path) -> None:
    folder, data = Path(shutil.copytree(tiny_model, tmp_path / "mine")), open_split(split_folder)
    typed, meant = (
        "What is a photn and how does it differ from a lens?",
        "What is a photon and how does it differ from a lens?",
    )

    def gap() -> float:
        first, second = Classifier.from_pretrained(folder, device="cpu", dtype="float32").predict_proba([typed, meant])
        return float(abs(first - second).max())

    assert gap() > 0 and not (folder / VOCABULARY_FILE).exists()
    calibrate(folder, data, device="cpu", dtype="float32", spelling="en")
    assert gap() == 0
    assert read_config(folder).words["photon"] > 1
    assert VOCABULARY_FILE in plan_upload(folder, "me/subjects").files
    assert "mends mistyped words" in (folder / "README.md").read_text()
    calibrate(folder, data, device="cpu", dtype="float32")  # as it is
    assert gap() == 0
    (folder / VOCABULARY_FILE).rename(tmp_path / VOCABULARY_FILE)
    with pytest.raises(ModelFolderError, match=r"is not a whole model folder; it lacks words.json"):
        Classifier.from_pretrained(folder)
    for damaged in ('{"photon": "often"}', "[1]", "{"):
        (folder / VOCABULARY_FILE).write_text(damaged)
        with pytest.raises(ModelFolderError, match=r"words\.json"):
            Classifier.from_pretrained(folder)
    (tmp_path / VOCABULARY_FILE).replace(folder / VOCABULARY_FILE)
    calibrate(folder, data, device="cpu", dtype="float32", spelling="none")
    assert gap() > 0 and not (folder / VOCABULARY_FILE).exists()
    assert "spelling" not in (folder / "subjectwise.json").read_text()


def test_training_reads_mended_words_and_keeps_those_of_its_rows(
    tiny_recipe: Any, split_folder: Path, tmp_path: Path
) -> None:
    recipe, data = tiny_recipe.with_settings(["prompt.spelling=en", "training.epochs=1"]), open_split(split_folder)
    train(recipe, data, tmp_path / "model", compute=Compute("cpu", "float32"), progress=False)
    config = read_config(tmp_path / "model")
    assert config.prompt.spelling == "en"
    assert config.words == count_words(row.question.text for row in data.examples("train"))


def test_a_head_is_not_switched(split_folder: Path, tmp_path: Path) -> None:
    config = SimpleNamespace(prompt=PromptSettings(), head=HeadSettings(tune="full"))
    with pytest.raises(ModelFolderError, match="a classification head reads them as typed"):
        with_spelling(config, "en", open_split(split_folder))  # type: ignore[arg-type]
