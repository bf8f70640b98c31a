"""Recipes are read, checked and written; a bad setting is named."""

from pathlib import Path

import pytest
import yaml

from subjectwise.errors import RecipeError
from subjectwise.recipe import Recipe, load_recipe, shipped_recipes


@pytest.mark.parametrize("name", shipped_recipes())
def test_shipped_recipes_survive_a_round_trip(name: str) -> None:
    recipe = load_recipe(name)
    assert recipe.name == name
    assert recipe.description
    assert Recipe.from_dict(yaml.safe_load(yaml.safe_dump(recipe.to_dict()))) == recipe


def test_reference_is_the_model_card() -> None:
    recipe = load_recipe("reference")
    assert (recipe.base, recipe.prompt.style) == ("Qwen/Qwen3-0.6B", "plain")
    assert (recipe.lora.r, recipe.lora.alpha, recipe.lora.dropout) == (16, 32, 0.05)
    training = recipe.training
    assert (training.epochs, training.learning_rate, training.warmup, training.loss) == (8, 3e-4, 0.1, "answer")
    assert training.batch_size * training.gradient_accumulation == 16


def test_what_is_not_yaml_is_one_sentence(tmp_path: Path) -> None:
    for setting in ("base=@my/base", "description=Run 2: seed 1: x"):
        with pytest.raises(RecipeError, match=f"The value of '{setting}' is not YAML; put it in quotes"):
            load_recipe("small", [setting])
    (tmp_path / "own.yaml").write_bytes("description: Prüfung".encode("latin-1"))
    with pytest.raises(RecipeError, match="own.yaml is not UTF-8 text"):
        load_recipe(tmp_path / "own.yaml")


def test_settings_are_read_as_yaml() -> None:
    recipe = load_recipe("small", ["training.learning_rate=1e-3", "prompt.style=chat", "lora.target_modules=[q_proj]"])
    assert recipe.training.learning_rate == 1e-3
    assert recipe.prompt.style == "chat"
    assert recipe.lora.target_modules == ("q_proj",)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        (["training.loss=answer"], "training.loss is 'answer'; it must be label for a head"),
        (["prompt.style=plain"], "prompt.style is 'plain'; it must be bare for a head"),
        (["head.tun=lora"], "nearest one is 'head.tune'"),
        (["head.pooling=row_end"], "Unknown setting 'head.pooling'"),
        (["lora.quantize=nf4", "head.tune=full"], "it must be none where head.tune is full, which trains no"),
        (["lora.quantize=nf4", "head.tune=frozen"], "none where head.tune is frozen"),
    ],
)
def test_bad_settings_of_a_head(settings: list[str], part: str) -> None:
    with pytest.raises(RecipeError, match=part):
        load_recipe("head", settings)


def test_settings_that_older_versions_do_not_know_are_written_only_where_they_are_used() -> None:
    plain = load_recipe("small")
    written = plain.to_dict()
    assert "head" not in written and not plain.head.used
    assert "augment" not in written["training"] and "quantize" not in written["lora"]
    assert "spelling" not in written["prompt"]
    for setting in ("head.tune=full", "lora.quantize=nf4", "training.augment=noise", "prompt.spelling=en"):
        changed = load_recipe("small", [setting])
        section, key = setting.partition("=")[0].split(".")
        assert changed.to_dict()[section][key] == setting.partition("=")[2]
        assert Recipe.from_dict(changed.to_dict()) == changed


@pytest.mark.parametrize(
    ("setting", "part"),
    [
        ("training.epoch=3", "nearest one is 'training.epochs'"),
        ("epochs=3", "nearest one is 'training.epochs'"),
        ("training.epochs", "has no value"),
        ("training.epochs=0", "training.epochs is 0; it must be at least 1"),
        ("training.epochs=many", "must be a whole number"),
        ("training.epochs=true", "must be a whole number"),
        ("training.compile=1", "must be true or false"),
        ("training.loss=hinge", "training.loss is 'hinge'; it must be one of label, answer."),
        ("training.loss=sequence", "training.loss is 'sequence'; it must be one of label, answer."),
        ("training.augment=much", "training.augment is 'much'; it must be one of none, typos, noise"),
        ("head.tune=half", "head.tune is 'half'; it must be one of none, lora, full, frozen"),
        ("lora.quantize=int8", "lora.quantize is 'int8'; it must be one of none, nf4."),
        ("lora.quantize=4", "lora.quantize is 4; it must be text."),
        ("lora.quantise=nf4", "the nearest one is 'lora.quantize'"),
        ("prompt.style=poem", "prompt.style"),
        ("lora.dropout=1", "lora.dropout"),
        ("name.first=x", "'name' is a single value"),
    ],
)
def test_bad_settings_name_the_field(setting: str, part: str) -> None:
    with pytest.raises(RecipeError, match=part):
        load_recipe("small", [setting])


def test_files(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("training: {epochs: 2}", encoding="utf-8")
    assert load_recipe(path).training.epochs == 2
    assert load_recipe(path).name == "mine"
    for text, part in (("training: 2", "settings of its own"), ("[a", "not valid YAML"), ("trainin: {}", "nearest")):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(RecipeError, match=part):
            load_recipe(path)
    with pytest.raises(RecipeError, match="Unknown recipe 'nothing'"):
        load_recipe("nothing")
