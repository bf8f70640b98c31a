"""A head reads each row's last token, whatever the padding, and keeps special tokens."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForSequenceClassification, BertConfig, ModernBertConfig, MPNetConfig

from helpers.encoders import ENCODERS, LABELS, base_with_head, head_scorer
from helpers.tiny_models import make_rows, save_base, tiny_config
from subjectwise.errors import RecipeError
from subjectwise.models.base_model import is_encoder
from subjectwise.models.classification_head import HeadEncoder, HeadScorer, head_modules, longest_row
from subjectwise.recipe import PromptSettings
from subjectwise.records import Question

QUESTIONS = [Question(row["question"]) for row in make_rows()[::7]]


@pytest.mark.parametrize("kind", ["decoder", *ENCODERS])
def test_padding_changes_nothing(head_bases: dict[str, Path], kind: str) -> None:
    scorer = head_scorer(head_bases[kind])
    pad = scorer.encoder.tokenizer.pad_token
    rows = scorer.encoder.encode([Question("Cell?"), Question(f"What is {pad} in a cell {pad}"), *QUESTIONS])
    assert len({len(row) for row in rows}) > 2 and scorer.encoder.tokenizer.pad_token_id in rows[1]
    with torch.no_grad():
        alone = torch.cat([scorer.logits([row]) for row in rows])
        torch.testing.assert_close(scorer.logits(rows), alone, atol=1e-5, rtol=1e-4)


def test_the_pooled_position_is_the_last_token_even_where_it_is_the_pad_token(head_bases: dict[str, Path]) -> None:
    scorer = head_scorer(head_bases["decoder"])
    tokenizer = scorer.encoder.tokenizer
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    rows = scorer.encoder.encode([Question("Is <|end|> the end? <|end|>"), QUESTIONS[0]])
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


@pytest.mark.parametrize(("kind", "ends"), [("decoder", False), ("bert", True)])
def test_a_long_question_loses_its_middle_and_no_special_token(
    head_bases: dict[str, Path], kind: str, ends: bool
) -> None:
    tokenizer = base_with_head(head_bases[kind]).tokenizer
    encoder, long = HeadEncoder(tokenizer, PromptSettings(max_tokens=16)), " ".join(["cell"] * 30 + ["gene"] * 30)
    whole = tokenizer(long)["input_ids"]
    row, short = encoder.encode([Question(long), Question("Explain the cell")])
    assert len(row) == 16 and row == whole[:8] + whole[-8:]
    assert (row[0] == 0 and row[-1] == 2) == ends
    assert short == tokenizer("Explain the cell")["input_ids"]
    assert encoder.encode([]) == []


def test_scores_are_normalised_in_order_and_have_no_other_answers(head_bases: dict[str, Path]) -> None:
    scorer, progress = head_scorer(head_bases["decoder"]), list[int]()
    encoded = scorer.encode(QUESTIONS)
    assert [item.tokens for item in encoded] == [len(item.ids) for item in encoded]
    scores = scorer.score(encoded, progress.append)
    assert scorer.labels == LABELS and sum(progress) == len(QUESTIONS)
    np.testing.assert_allclose(np.exp(scores.log_probs).sum(axis=1), 1)
    np.testing.assert_array_equal(scores.label_mass, 1)
    backwards = scorer.score(encoded[::-1]).log_probs[::-1]
    np.testing.assert_allclose(scores.log_probs, backwards, atol=1e-5)


def test_options_are_read_where_a_question_has_them(head_bases: dict[str, Path]) -> None:
    scorer = head_scorer(head_bases["bert"])
    question = Question("Which of these is right?", ("a photon", "a lens"))
    whole, text = scorer.encode([question, question.without_options()])
    assert whole.tokens > text.tokens


@pytest.mark.parametrize(("kind", "limit"), [("bert", 66), ("mpnet", 64)])
def test_more_tokens_than_the_base_reads_are_refused(head_bases: dict[str, Path], kind: str, limit: int) -> None:
    base = base_with_head(head_bases[kind])
    assert longest_row(base.model) == limit
    assert HeadScorer(base, LABELS, PromptSettings(max_tokens=limit)).labels == LABELS
    with pytest.raises(RecipeError, match=f"reads at most {limit} tokens"):
        HeadScorer(base, LABELS, PromptSettings(max_tokens=limit + 1))


def test_a_decoder_without_a_pad_token_of_its_own(tmp_path: Path, tokenizer: Any) -> None:
    bare = copy.deepcopy(tokenizer)
    bare.pad_token = None
    scorer = head_scorer(save_base(tmp_path / "bare", tiny_config(len(bare), pad_token_id=None), bare))
    encoded = scorer.encode(QUESTIONS)
    one = np.concatenate([scorer.score([question]).log_probs for question in encoded])
    np.testing.assert_allclose(scorer.score(encoded).log_probs, one, atol=1e-4)


def test_the_head_has_all_that_is_new_in_the_base(head_bases: dict[str, Path]) -> None:
    assert head_modules(base_with_head(head_bases["decoder"])) == ["score"]
    assert head_modules(base_with_head(head_bases["bert"])) == ["classifier"]
    # The base of ModernBERT has no prediction layer, which is therefore as new as the classifier.
    assert head_modules(base_with_head(head_bases["modernbert"])) == ["classifier", "head.dense", "head.norm"]


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
