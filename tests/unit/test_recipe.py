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
    assert Recipe.from_dict(yaml.safe_load(recipe.to_yaml())) == recipe


def test_reference_is_the_model_card() -> None:
    recipe = load_recipe("reference")
    assert (recipe.base, recipe.prompt.style) == ("Qwen/Qwen3-0.6B", "plain")
    assert (recipe.lora.r, recipe.lora.alpha, recipe.lora.dropout) == (16, 32, 0.05)
    training = recipe.training
    assert (training.epochs, training.learning_rate, training.warmup, training.loss) == (8, 3e-4, 0.1, "answer")
    assert training.batch_size * training.gradient_accumulation == 16


def test_settings_are_read_as_yaml() -> None:
    recipe = load_recipe("small", ["training.learning_rate=1e-3", "prompt.style=chat", "lora.target_modules=[q_proj]"])
    assert recipe.training.learning_rate == 1e-3
    assert recipe.prompt.style == "chat"
    assert recipe.lora.target_modules == ("q_proj",)


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
        ("training.loss=hinge", "training.loss is 'hinge'; it must be one of label"),
        ("prompt.style=poem", "prompt.style"),
        ("lora.dropout=1", "lora.dropout"),
        ("name.first=x", "holds a single value"),
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
    with pytest.raises(RecipeError, match="There is no recipe 'nothing'"):
        load_recipe("nothing")
