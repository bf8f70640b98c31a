"""A classification head reads the right place, is saved whole, and learns; its faults can be had on purpose."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModel,
    AutoModelForSequenceClassification,
    BartConfig,
    BertConfig,
    ModernBertConfig,
    MPNetConfig,
    TrainerCallback,
)

from helpers.tiny_models import TINY_SETTINGS, corpus, make_rows, save_base, save_random, tiny_config
from subjectwise.classifier import Classifier
from subjectwise.data.split import open_split
from subjectwise.errors import BaseModelError, ModelFolderError, RecipeError, SubjectwiseError
from subjectwise.evaluation.evaluate import evaluate, split_rows, write_evaluation
from subjectwise.labels import LabelSet
from subjectwise.models.base_model import is_encoder, load_base
from subjectwise.models.classification_head import HeadScorer, HeadText, longest_row, prepare_head
from subjectwise.models.devices import Compute
from subjectwise.models.lora import merge_adapter
from subjectwise.models.model_folder import PEFT_0_17_KEYS
from subjectwise.publish.hub import plan_upload
from subjectwise.publish.model_card import add_report, write_card
from subjectwise.recipe import HeadSettings, PromptSettings, Recipe, load_recipe
from subjectwise.records import Question
from subjectwise.training import run, trainer
from subjectwise.training.calibrate_model import calibrate
from subjectwise.training.tasks import head_task
from subjectwise.training.train import train

LABELS = LabelSet(("biology", "computer science", "law", "physics"))
QUESTIONS = [row["question"] for row in make_rows()[::7]]
ENCODERS: dict[str, Callable[..., Any]] = {"bert": BertConfig, "modernbert": ModernBertConfig, "mpnet": MPNetConfig}


def word_tokenizer() -> Any:
    """A tokenizer of words with a start and an end token, as encoders have."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = {"cls_token": "<s>", "pad_token": "<pad>", "sep_token": "</s>", "unk_token": "<unk>"}
    tokenizer = Tokenizer(models.WordLevel(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.train_from_iterator(corpus(), trainers.WordLevelTrainer(special_tokens=list(special.values())))
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)


def save_encoder(folder: Path, kind: str) -> Path:
    tokenizer = word_tokenizer()
    values: dict[str, Any] = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 66,
        "pad_token_id": 1,
    }
    if kind == "modernbert":
        values |= {"bos_token_id": 0, "eos_token_id": 2, "cls_token_id": 0, "sep_token_id": 2}
    torch.manual_seed(0)
    return save_random(folder, AutoModel.from_config(ENCODERS[kind](**values)), tokenizer)


@pytest.fixture(scope="session")
def bases(tmp_path_factory: pytest.TempPathFactory, tiny_base: Path) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("encoders")
    return {"decoder": tiny_base} | {kind: save_encoder(folder / kind, kind) for kind in ENCODERS}


def recipe_for(base: Path, *settings: str) -> Recipe:
    return replace(load_recipe("head", ["prompt.max_tokens=48", *TINY_SETTINGS, *settings]), base=str(base))


@pytest.fixture(scope="session")
def trained(
    tmp_path_factory: pytest.TempPathFactory, bases: dict[str, Path], split_folder: Path
) -> Callable[[str, str], Path]:
    """Model folders that were really trained, each once."""
    made: dict[tuple[str, str], Path] = {}

    def make(kind: str, tune: str) -> Path:
        if (kind, tune) not in made:
            settings = [f"head.tune={tune}", "training.epochs=24", "training.patience=24"]
            rate = "2e-3" if tune == "full" else "5e-3"
            recipe = recipe_for(bases[kind], *settings, f"training.learning_rate={rate}")
            output = tmp_path_factory.mktemp("heads") / f"{kind}-{tune}"
            train(recipe, open_split(split_folder), output, compute=Compute("cpu", "float32"), progress=False)
            made[kind, tune] = output
        return made[kind, tune]

    return make


def load(folder: Path, **options: Any) -> Classifier:
    return Classifier.from_pretrained(folder, **({"device": "cpu", "dtype": "float32"} | options))


def scorer_of(base: Path, **settings: Any) -> HeadScorer:
    torch.manual_seed(1)
    loaded = load_base(str(base), device="cpu", dtype="float32", labels=LABELS.names)
    head = HeadSettings(**({"tune": "lora"} | settings))
    prepare_head(loaded, head)
    return HeadScorer(loaded, LABELS, PromptSettings(max_tokens=48), head)


def questions(*texts: str) -> list[Question]:
    return [Question(text) for text in texts]


CASES = [
    ("decoder", "lora"),
    ("decoder", "full"),
    ("bert", "lora"),
    ("bert", "full"),
    ("modernbert", "lora"),
    ("mpnet", "full"),
    ("mpnet", "lora"),
]


@pytest.mark.parametrize(("kind", "tune"), CASES)
def test_it_learns_and_answers(trained: Callable[[str, str], Path], kind: str, tune: str) -> None:
    folder = trained(kind, tune)
    results = json.loads((folder / "subjectwise.json").read_text())["results"]
    assert results["validation"]["accuracy"] > 0.6, "four labels; chance is 0.25"
    assert results["best_epoch"] == min(results["epochs"], key=lambda epoch: epoch["nll"])["epoch"]
    classifier = load(folder)
    found = classifier.classify(QUESTIONS)
    assert {item.label_mass for item in found} == {1.0}
    one = [classifier.predict_proba([question])[0] for question in QUESTIONS]
    np.testing.assert_allclose(classifier.predict_proba(QUESTIONS), one, atol=1e-5)
    assert classifier.weights_sha256
    options = Question("Which of these is right?", ("a photon", "a lens"))
    assert classifier.classify(options, with_options=True).scores != classifier.classify(options).scores


@pytest.mark.parametrize("kind", ["decoder", *ENCODERS])
def test_padding_changes_nothing(bases: dict[str, Path], kind: str) -> None:
    scorer = scorer_of(bases[kind])
    pad = scorer.text.tokenizer.pad_token
    rows = scorer.text.encode_questions(questions("Cell?", f"What is {pad} in a cell {pad}", *QUESTIONS))
    assert len({len(row) for row in rows}) > 2 and scorer.text.tokenizer.pad_token_id in rows[1]
    with torch.no_grad():
        alone = torch.cat([scorer.logits([row]) for row in rows])
        torch.testing.assert_close(scorer.logits(rows), alone, atol=1e-5, rtol=1e-4)


def test_the_pooled_place_is_the_last_token_even_where_it_is_the_pad_token(bases: dict[str, Path]) -> None:
    scorer = scorer_of(bases["decoder"])
    tokenizer = scorer.text.tokenizer
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    rows = scorer.text.encode_questions(questions("Is <|end|> the end? <|end|>", QUESTIONS[0]))
    assert rows[0][-1] == rows[0][rows[0].index(0)] == tokenizer.pad_token_id
    inner = scorer.model
    with torch.no_grad():
        hidden = inner.base_model(input_ids=torch.tensor([rows[0]])).last_hidden_state[0]
        expected, before = inner.score(hidden[-1]), inner.score(hidden[-2])
        torch.testing.assert_close(scorer.logits(rows)[0], expected, atol=1e-5, rtol=1e-4)
        theirs = inner(input_ids=torch.tensor([rows[0]])).logits[0]
        torch.testing.assert_close(theirs, before, msg="transformers steps back over the pad token")
        plain = torch.tensor([rows[1]])
        torch.testing.assert_close(scorer.logits([rows[1]]), inner(input_ids=plain).logits, atol=1e-5, rtol=1e-4)


def test_a_long_question_loses_its_middle_and_no_special_token(bases: dict[str, Path]) -> None:
    for kind, ends in (("decoder", False), ("bert", True)):
        text = HeadText(load_base(str(bases[kind]), labels=LABELS.names).tokenizer, PromptSettings(max_tokens=16))
        [whole] = text.tokenizer([" ".join(["cell"] * 30 + ["gene"] * 30)])["input_ids"]
        [row] = text.encode_questions(questions(" ".join(["cell"] * 30 + ["gene"] * 30)))
        assert len(row) == 16 and row == whole[:8] + whole[-8:]
        assert (row[0] == 0 and row[-1] == 2) == ends
        [short] = text.encode_questions(questions("Explain the cell"))
        assert short == text.tokenizer("Explain the cell")["input_ids"]


def test_the_wrong_place_gives_other_answers(bases: dict[str, Path]) -> None:
    right, wrong = scorer_of(bases["decoder"]), scorer_of(bases["decoder"], pooling="row_end")
    rows = right.text.encode_questions(questions(*QUESTIONS))
    with torch.no_grad():
        assert float((right.logits(rows) - wrong.logits(rows)).abs().max()) > 0.01
        alone = torch.cat([wrong.logits([row]) for row in rows])
        torch.testing.assert_close(wrong.logits(rows), alone, atol=1e-5, rtol=1e-4)


def test_without_a_pad_token_rows_are_read_one_at_a_time(bases: dict[str, Path]) -> None:
    scorer, usual = scorer_of(bases["decoder"], pad_token=False), scorer_of(bases["decoder"])
    batches: list[int] = []
    found = scorer.score(questions(*QUESTIONS), on_progress=batches.append)
    assert batches == [1] * len(QUESTIONS)
    np.testing.assert_allclose(found.log_probs, usual.score(questions(*QUESTIONS)).log_probs, atol=1e-4)
    with pytest.raises(ValueError, match="batch sizes > 1"):
        scorer.model(input_ids=torch.tensor([[1, 2], [3, 4]]))
    with pytest.raises(RecipeError, match="training.batch_size is 8; it must be 1 where head.pad_token is false"):
        load_recipe("head", ["head.pad_token=false"])


def test_what_is_trained(bases: dict[str, Path], split_folder: Path) -> None:
    examples = open_split(split_folder).examples("train")[:4]

    def trainable(kind: str, *settings: str) -> set[str]:
        task = head_task(recipe_for(bases[kind], *settings), LABELS, examples, device="cpu", dtype="float32")
        return {name for name, weight in task.base.model.named_parameters() if weight.requires_grad}

    assert trainable("decoder", "head.tune=frozen") == {"score.weight"}
    assert any("lora_A" in name for name in trainable("decoder"))
    assert "base_model.model.score.modules_to_save.default.weight" in trainable("decoder")
    assert all("lora_" in name for name in trainable("decoder", "head.train_head=false"))
    whole = trainable("bert", "head.tune=full")
    assert whole - trainable("bert", "head.tune=full", "head.train_head=false") == {
        "classifier.weight",
        "classifier.bias",
    }
    assert any("query.lora_A" in name for name in trainable("bert"))
    one = trainable("bert", "lora.target_modules=[query]")
    assert sum("lora_A" in name for name in one) == 2
    # The base of ModernBERT has no prediction layer, which is therefore as new as the classifier.
    assert {"head.dense.weight", "head.norm.weight"} <= trainable("modernbert", "head.tune=frozen")


@pytest.mark.parametrize(("kind", "tune"), [("decoder", "lora"), ("mpnet", "full"), ("decoder", "frozen")])
def test_the_saved_model_answers_as_the_trained_one(
    tmp_path: Path, bases: dict[str, Path], split_folder: Path, kind: str, tune: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[HeadScorer] = []

    def keep(*args: Any, **options: Any) -> Any:
        task = head_task(*args, **options)
        kept.append(task.scorer())  # type: ignore[arg-type]
        return task

    monkeypatch.setattr(run, "head_task", keep)
    recipe = recipe_for(bases[kind], f"head.tune={tune}", "training.epochs=2", "training.learning_rate=2e-3")
    train(recipe, open_split(split_folder), tmp_path / "m", compute=Compute("cpu", "float32"), progress=False)
    expected = kept[0].score(questions(*QUESTIONS)).log_probs
    scorer: Any = load(tmp_path / "m")._scorer
    # An adapter is saved in bfloat16.
    np.testing.assert_allclose(
        scorer.score(questions(*QUESTIONS)).log_probs, expected, atol=3e-2 if tune == "lora" else 1e-5
    )


def test_peft_and_transformers_load_it_as_it_is(bases: dict[str, Path], trained: Callable[[str, str], Path]) -> None:
    from peft import PeftModel

    base = AutoModelForSequenceClassification.from_pretrained(bases["decoder"], num_labels=4, dtype=torch.float32)
    adapted = PeftModel.from_pretrained(base, str(trained("decoder", "lora"))).eval()
    whole = AutoModelForSequenceClassification.from_pretrained(trained("bert", "full")).eval()
    assert whole.config.id2label == dict(enumerate(LABELS.names))
    for model, folder in ((adapted, trained("decoder", "lora")), (whole, trained("bert", "full"))):
        scorer: Any = load(folder)._scorer
        [row] = scorer.text.encode_questions(questions(QUESTIONS[0]))
        with torch.no_grad():
            theirs = model(input_ids=torch.tensor([row])).logits
            torch.testing.assert_close(scorer.logits([row]), theirs, atol=1e-3, rtol=1e-3)


def test_answering_needs_no_peft(trained: Callable[[str, str], Path], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = trained("bert", "lora")
    monkeypatch.setitem(sys.modules, "peft", None)
    assert load(folder).classify("What is a photon?").label in LABELS.names


def test_the_folder(trained: Callable[[str, str], Path], tmp_path: Path, split_folder: Path) -> None:
    adapter, whole = trained("decoder", "lora"), trained("bert", "full")
    assert (adapter / "adapter_model.safetensors").is_file() and not (adapter / "model.safetensors").exists()
    assert (whole / "model.safetensors").is_file() and not (whole / "adapter_model.safetensors").exists()
    assert json.loads((adapter / "subjectwise.json").read_text())["head"] == {
        "tune": "lora", "train_head": True, "pooling": "auto", "pad_token": True,
    }  # fmt: skip
    assert set(json.loads((adapter / "adapter_config.json").read_text())) <= PEFT_0_17_KEYS
    mapping = json.loads((whole / "label_mapping.json").read_text())
    assert mapping["instruction_template"] == "{question}"
    assert "bases" not in (whole / "config.json").read_text()
    card = (whole / "README.md").read_text()
    assert "trained with all weights" in card and "library_name: transformers" in card and "Input" in card
    data = open_split(split_folder)
    for folder in (adapter, whole):
        copy = Path(shutil.copytree(folder, tmp_path / folder.name))
        report = tmp_path / f"{folder.name}-report"
        write_evaluation(report, evaluate(load(copy), split_rows(data)))
        add_report(copy, report)
        write_card(copy)
        assert "grouped test" in (copy / "README.md").read_text()
        before = json.loads((copy / "subjectwise.json").read_text())["calibration"]
        assert calibrate(copy, data, device="cpu", dtype="float32").temperature == before["temperature"]
        assert {"README.md", "subjectwise.json"} < set(plan_upload(copy, "me/subjects").files)
        assert any(name.endswith("model.safetensors") for name in plan_upload(copy, "me/subjects").files)


def test_the_base_of_a_whole_model_may_be_gone(
    tmp_path: Path, trained: Callable[[str, str], Path], bases: dict[str, Path]
) -> None:
    copy = Path(shutil.copytree(trained("bert", "full"), tmp_path / "alone"))
    config = json.loads((copy / "subjectwise.json").read_text())
    config["base"]["name"] = "./nowhere"
    (copy / "subjectwise.json").write_text(json.dumps(config))
    np.testing.assert_allclose(
        load(copy).predict_proba(QUESTIONS), load(trained("bert", "full")).predict_proba(QUESTIONS)
    )


def edit(folder: Path, **changes: Any) -> None:
    file = folder / "subjectwise.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def test_one_kind_is_never_taken_for_the_other(
    tmp_path: Path, trained: Callable[[str, str], Path], tiny_model: Path, bases: dict[str, Path]
) -> None:
    labels_scored = Path(shutil.copytree(tiny_model, tmp_path / "labels"))
    edit(labels_scored, head={"tune": "lora"})
    with pytest.raises(ModelFolderError, match="no head that fits its base: score.weight"):
        load(labels_scored)
    edit(labels_scored, head={"tune": "full"})
    with pytest.raises(ModelFolderError, match=r"lacks config.json, model.safetensors"):
        load(labels_scored)
    edit(labels_scored, head={"tune": "half"})
    with pytest.raises(ModelFolderError, match="head.tune is 'half'"):
        load(labels_scored)
    adapter = Path(shutil.copytree(trained("decoder", "lora"), tmp_path / "head"))
    edit(adapter, head={})
    with pytest.raises(ModelFolderError, match="holds a classification head"):
        load(adapter)
    with pytest.raises(ModelFolderError, match="holds a classification head"):
        merge_adapter(load_base(str(bases["decoder"]), device="cpu", dtype="float32").model, adapter)
    edit(adapter, head={"tune": "lora"})
    tensors = load_file(adapter / "adapter_model.safetensors")
    head = "base_model.model.score.weight"
    save_file(tensors | {head: tensors[head][:2].contiguous()}, adapter / "adapter_model.safetensors")
    with pytest.raises(ModelFolderError, match="no head that fits"):
        load(adapter)
    with pytest.raises(BaseModelError, match="has a classification head, and cannot continue a text"):
        load_base(str(trained("decoder", "full")))
    whole = Path(shutil.copytree(trained("bert", "full"), tmp_path / "whole"))
    (whole / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelFolderError, match="a whole model and an adapter"):
        load(whole)
    (whole / "adapter_config.json").unlink()
    tensors = load_file(whole / "model.safetensors")
    del tensors["classifier.weight"]
    save_file(tensors, whole / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelFolderError, match="has no classifier.weight"):
        load(whole)


class InterruptedRunError(Exception):
    pass


class _Stop(TrainerCallback):  # type: ignore[misc]
    def __init__(self, step: int) -> None:
        self._step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self._step:
            raise InterruptedRunError


@pytest.mark.parametrize(
    ("kind", "settings"),
    [
        ("decoder", ("lora.dropout=0.1",)),
        ("bert", ("head.tune=full",)),
        ("decoder", ("head.train_head=false",)),
        ("decoder", ("head.tune=frozen",)),
    ],
)
def test_an_interrupted_run_ends_with_the_same_weights(
    tmp_path: Path,
    bases: dict[str, Path],
    split_folder: Path,
    kind: str,
    settings: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    data = open_split(split_folder)
    wanted = ("training.epochs=2", "training.checkpoint_steps=3", "training.learning_rate=2e-3")
    recipe = recipe_for(bases[kind], *wanted, *settings)

    def start(name: str) -> None:
        train(recipe, data, tmp_path / name, compute=Compute("cpu", "float32"), progress=False)

    start("whole")
    usual = trainer.make_trainer

    def stopping(report_to: Any, **options: Any) -> Any:
        return usual(report_to, **(options | {"callbacks": [*options["callbacks"], _Stop(10)]}))

    with monkeypatch.context() as patch:
        patch.setattr(run, "make_trainer", stopping)
        with pytest.raises(InterruptedRunError):
            start("stopped")
    assert not (tmp_path / "stopped").exists()
    start("stopped")
    file = "model.safetensors" if recipe.head.whole else "adapter_model.safetensors"
    whole, stopped = (load_file(tmp_path / name / file) for name in ("whole", "stopped"))
    assert whole.keys() == stopped.keys()
    for name, tensor in whole.items():
        assert torch.equal(tensor, stopped[name]), name


def test_a_head_that_is_not_trained_stays_as_it_was_drawn(
    tmp_path: Path, bases: dict[str, Path], split_folder: Path
) -> None:
    data = open_split(split_folder)
    recipe = recipe_for(bases["decoder"], "head.train_head=false", "training.epochs=1")
    train(recipe, data, tmp_path / "m", compute=Compute("cpu", "float32"), progress=False)
    torch.manual_seed(recipe.training.seed)
    drawn = load_base(recipe.base, device="cpu", dtype="float32", labels=data.labels.names).model.score.weight
    saved = load_file(tmp_path / "m" / "adapter_model.safetensors")["base_model.model.score.weight"]
    assert torch.equal(saved, drawn)


@pytest.mark.parametrize(("kind", "tune"), [("decoder", "lora"), ("bert", "full"), ("decoder", "full")])
def test_bfloat16(tmp_path: Path, bases: dict[str, Path], split_folder: Path, kind: str, tune: str) -> None:
    recipe = recipe_for(bases[kind], "training.epochs=1", f"head.tune={tune}", "training.learning_rate=1e-3")
    result = train(recipe, open_split(split_folder), tmp_path / "m", device="cpu", dtype="bfloat16", progress=False)
    assert np.isfinite(result.nll)
    scorer: Any = load(tmp_path / "m", dtype="bfloat16")._scorer
    assert scorer.model.dtype == (torch.float32 if kind == "bert" else torch.bfloat16)
    exact: Any = load(tmp_path / "m")._scorer
    difference = scorer.score(questions(*QUESTIONS)).log_probs - exact.score(questions(*QUESTIONS)).log_probs
    assert 0 < np.abs(difference).max() < 0.3


def test_options_validation_rows_and_rows_beside(tmp_path: Path, bases: dict[str, Path], split_folder: Path) -> None:
    from subjectwise.records import Example

    own = Example("own", Question("An entirely different matter, never seen before?"), "law")
    shown = ("training.options_share=0.5", "training.option_halves=1", "training.validation_rows=8")
    recipe = recipe_for(bases["bert"], "training.epochs=1", *shown)
    train(
        recipe, open_split(split_folder), tmp_path / "m", also=[own], compute=Compute("cpu", "float32"), progress=False
    )
    assert json.loads((tmp_path / "m/subjectwise.json").read_text())["results"]["also"]["rows"] == 1


def test_scikit_learn_fits_a_head(bases: dict[str, Path]) -> None:
    rows = make_rows()
    settings = (f"base={bases['bert']}", "prompt.max_tokens=48", "training.epochs=1")
    classifier = Classifier("head", settings=settings, device="cpu", dtype="float32")
    classifier.fit([row["question"] for row in rows], [row["category"] for row in rows])
    assert classifier.predict_proba(QUESTIONS).shape == (len(QUESTIONS), 4)


@pytest.mark.parametrize(
    ("settings", "part"),
    [
        (["head.tune=half"], "head.tune is 'half'; it must be one of none, lora, full, frozen"),
        (["head.pooling=first"], "head.pooling is 'first'; it must be one of auto, row_end"),
        (["head.tune=frozen", "head.train_head=false"], "head.train_head is False; it must be true"),
        (["head.tune=none", "head.pooling=row_end"], "lora, full or frozen"),
        (["training.loss=answer"], "training.loss is 'answer'; it must be label for a head"),
        (["prompt.style=plain"], "prompt.style is 'plain'; it must be bare for a head"),
        (["head.tun=lora"], "nearest one is 'head.tune'"),
    ],
)
def test_bad_settings(settings: list[str], part: str) -> None:
    with pytest.raises(RecipeError, match=part):
        load_recipe("head", settings)


def test_recipes_without_a_head_are_as_they_were() -> None:
    recipe = load_recipe("small")
    assert "head" not in recipe.to_dict() and not recipe.head.used
    assert Recipe.from_dict(recipe.to_dict()) == recipe
    changed = load_recipe("small", ["head.tune=full"])
    assert changed.to_dict()["head"]["tune"] == "full" and Recipe.from_dict(changed.to_dict()) == changed


def test_what_does_not_go_together(tmp_path: Path, bases: dict[str, Path], split_folder: Path, tokenizer: Any) -> None:
    data = open_split(split_folder)
    generative = replace(load_recipe("small"), base=str(bases["bert"]))
    cases: list[tuple[Recipe, type[SubjectwiseError], str]] = [
        (generative, BaseModelError, "is an encoder, which cannot continue a text; train a head"),
        (replace(generative, base=str(bases["mpnet"])), BaseModelError, "is an encoder"),
        (recipe_for(bases["bert"], "prompt.max_tokens=67"), RecipeError, "reads at most 66 tokens"),
        (recipe_for(bases["mpnet"], "prompt.max_tokens=65"), RecipeError, "reads at most 64 tokens"),
        (recipe_for(bases["bert"], "head.pooling=row_end"), RecipeError, "head.pooling and head.pad_token are for"),
        (recipe_for(bases["bert"], "training.compile=true"), RecipeError, "training.compile is for decoders"),
        (recipe_for(bases["bert"], "lora.target_modules=[nothing]"), RecipeError, "lora.target_modules do not fit"),
        (recipe_for(tmp_path / "nowhere"), BaseModelError, "There is no folder"),
    ]
    for recipe, kind, part in cases:
        with pytest.raises(kind, match=part) as caught:
            train(recipe, data, tmp_path / "m", device="cpu", progress=False)
        assert "\n" not in str(caught.value)
        shutil.rmtree(tmp_path / "m.checkpoints", ignore_errors=True)
    tiny = BartConfig(
        vocab_size=len(tokenizer), d_model=16, encoder_layers=1, decoder_layers=1, max_position_embeddings=32
    )
    AutoModel.from_config(tiny).save_pretrained(tmp_path / "bart")
    tokenizer.save_pretrained(tmp_path / "bart")
    with pytest.raises(BaseModelError, match="an encoder with a decoder"):
        load_base(str(tmp_path / "bart"), labels=LABELS.names)


def test_a_head_for_other_labels_gives_way_to_a_new_one(tmp_path: Path, trained: Callable[[str, str], Path]) -> None:
    loaded = load_base(str(trained("bert", "full")), device="cpu", dtype="float32", labels=["a", "b"])
    assert loaded.model.classifier.weight.shape[0] == 2
    assert set(loaded.new) == {"classifier.weight", "classifier.bias"}


def test_a_decoder_without_a_pad_token_of_its_own(tmp_path: Path, tokenizer: Any) -> None:
    import copy

    bare = copy.deepcopy(tokenizer)
    bare.pad_token = None
    folder = save_base(tmp_path / "bare", tiny_config(len(bare), pad_token_id=None), bare)
    scorer = scorer_of(folder)
    found = scorer.score(questions(*QUESTIONS)).log_probs
    one = np.concatenate([scorer.score(questions(text)).log_probs for text in QUESTIONS])
    np.testing.assert_allclose(found, one, atol=1e-4)


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (BertConfig(), 109_482_240 + 14 * 769),
        (
            ModernBertConfig(
                vocab_size=50368, hidden_size=768, intermediate_size=1152, num_hidden_layers=22, num_attention_heads=12
            ),
            149_014_272 + 768 * 769 + 14 * 769,
        ),
        (MPNetConfig(vocab_size=30527, max_position_embeddings=514), 109_486_464 + 14 * 769),
    ],
    ids=["bert-base", "modernbert-base", "all-mpnet-base-v2"],
)
def test_real_configurations(config: Any, expected: int) -> None:
    """The shapes of those three on the Hub: their own weights, and a head for fourteen labels.

    The head of ModernBERT has a prediction layer; that of MPNet has as many weights as the pooler that it does without.
    """
    config.num_labels = 14
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config)
    assert sum(weight.numel() for weight in model.parameters()) == expected
    assert is_encoder(config) and hasattr(model, "classifier")
    assert longest_row(model) == {"bert": 512, "modernbert": 8192, "mpnet": 512}[config.model_type]
