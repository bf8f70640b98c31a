"""Questions encoded and scored; with a GPU, the next are encoded while it computes those before."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from subjectwise.models.label_scores import LabelLogProbs, Scorer
from subjectwise.records import EncodedQuestion, Question
from subjectwise.types import Progress

# Questions that are encoded at once: some packs for a GPU, and little to wait for before the first.
AHEAD = 1024


def encode_and_score(
    scorer: Scorer, questions: Sequence[Question], on_progress: Progress | None = None
) -> tuple[list[EncodedQuestion], LabelLogProbs]:
    """Return what `scorer.encode` and `scorer.score` return for the questions.

    Args:
        scorer: of labels.
        questions: in any number.
        on_progress: called after each batch with the number of its questions.
    """
    if scorer.runs_on[0] == "cpu" or len(questions) <= AHEAD:
        encoded = scorer.encode(questions)
        return encoded, scorer.score(encoded, on_progress)
    # On a CPU both want the same cores. A GPU is waited for without holding Python's lock.
    done: list[EncodedQuestion] = []
    scores: list[LabelLogProbs] = []
    chunks = [questions[start : start + AHEAD] for start in range(0, len(questions), AHEAD)]
    with ThreadPoolExecutor(1, thread_name_prefix="encode") as thread:
        coming = thread.submit(scorer.encode, chunks[0])
        for following in [*chunks[1:], None]:
            encoded = coming.result()
            if following is not None:
                coming = thread.submit(scorer.encode, following)
            done += encoded
            scores.append(scorer.score(encoded, on_progress))
    return done, _joined(scores)


def _joined(parts: Sequence[LabelLogProbs]) -> LabelLogProbs:
    in_scope = [part.in_scope for part in parts if part.in_scope is not None]
    return LabelLogProbs(
        np.concatenate([part.log_probs for part in parts]),
        np.concatenate([part.label_mass for part in parts]),
        np.concatenate(in_scope) if in_scope else None,
    )
