"""The bodies of requests and answers, with examples. Knows no model, and no limits but those of the form."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

from subjectwise.records import Prediction
from subjectwise.types import JsonObject

_EXAMPLE = "How do neurons transmit signals?"
_LABELS: list[JsonValue] = [{"label": "biology", "score": 0.8277}, {"label": "psychology", "score": 0.0671}]


class _Strict(BaseModel):
    """Strict: no type coercion, no unknown fields."""

    model_config = ConfigDict(strict=True, extra="forbid")


class _Tolerant(BaseModel):
    """No type coercion; clients of other servers send fields that those know."""

    model_config = ConfigDict(strict=True, extra="ignore")


class LabelScore(BaseModel):
    """A label and its calibrated probability."""

    label: str
    score: float


def label_scores(prediction: Prediction, count: int | None = None) -> list[JsonObject]:
    """Return the `count` most probable labels (all of them for None) as `LabelScore` has them, best first."""
    return [{"label": label, "score": score} for label, score in prediction.top(count or len(prediction.scores))]


class ClassifyRequest(_Tolerant):
    """One text."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"inputs": _EXAMPLE}]})

    inputs: str


# Two texts in one list would be a pair, which only models of another kind read.
_One = Annotated[list[str], Field(min_length=1, max_length=1)]


class PredictRequest(_Tolerant):
    """A text, a list with one text, or a list of such lists."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"inputs": _EXAMPLE}, {"inputs": [[_EXAMPLE], ["What is a tort?"]]}]}
    )

    inputs: str | _One | Annotated[list[_One], Field(min_length=1)]
    raw_scores: bool = Field(False, description="Log-probabilities, of which the softmax is the scores.")
    truncate: bool | None = Field(None, description="Whether a text that is too long is cut, or refused; null cuts it.")
    truncation_direction: Literal["Left", "Right", "left", "right"] | None = Field(
        None, description="Which end is cut; null cuts the middle."
    )

    @property
    def single(self) -> bool:
        """Whether it asks for one text, and not for a list of them."""
        return isinstance(self.inputs, str) or isinstance(self.inputs[0], str)

    @property
    def texts(self) -> list[str]:
        """The texts."""
        rows = [self.inputs] if isinstance(self.inputs, str) else self.inputs
        return [row if isinstance(row, str) else row[0] for row in rows]


class PipelineParameters(_Tolerant):
    """What `huggingface_hub.InferenceClient.text_classification` sends beside the text."""

    top_k: Annotated[int, Field(ge=1)] | None = Field(None, description="How many labels; null for all.")
    function_to_apply: Literal["softmax", "none"] | None = Field(None, description="none for log-probabilities.")


class RootRequest(PredictRequest):
    """As for `/predict`. With `parameters`, which InferenceClient sends, the answer is a list for each text."""

    parameters: PipelineParameters | None = None


class QuestionBody(_Strict):
    """A question with its answer options."""

    text: str
    options: Annotated[list[str], Field(max_length=64)] = []


class QuestionsRequest(_Strict):
    """Questions, and how they are to be answered."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"questions": [_EXAMPLE], "top_k": 3},
                {
                    "questions": [{"text": "Which of these is a tort?", "options": ["negligence", "theft"]}],
                    "with_options": True,
                    "min_confidence": 0.5,
                    "multi_label": True,
                },
            ]
        }
    )

    questions: Annotated[list[str | QuestionBody], Field(min_length=1)]
    with_options: bool | None = Field(None, description="Whether the model sees the options; null for its own setting.")
    top_k: Annotated[int, Field(ge=1)] | None = Field(None, description="How many labels `top` has; null for all.")
    min_confidence: float = Field(0.0, ge=0, le=1, allow_inf_nan=False, description="Below it the answer is `abstain`.")
    min_in_scope: float = Field(
        0.0, ge=0, le=1, allow_inf_nan=False,
        description="Below this probability of belonging to any label the answer is `abstain`; `/v1/model` has the "
        "model's own.",
    )  # fmt: skip
    multi_label: bool = Field(False, description="Several labels where the model is unsure.")
    explain: bool = Field(False, description="Which words changed the answer; for a few questions per request.")
    sentence: bool = Field(
        False,
        description="With explain: a guess at a reason, written by the model folder's sentence adapter, or by the base "
        "where there is none; takes seconds.",
    )


class ModelName(BaseModel):
    """Which model answers."""

    name: str
    version: str = Field(description="The first 12 hex digits of the hash of the weights.")


class Result(BaseModel):
    """The answer to one question.

    `best_label`, `labels`, `entropy` and `explanation` where they were requested; `truncated` where the question was
    longer than the model reads, so that its middle was cut out; `in_scope`, the probability that it belongs to any of
    the labels, where the model was trained to tell; `answered_by`, `fast` or `model`, where the server is a cascade.
    """

    question: str
    label: str
    score: float
    scores: dict[str, float]
    label_mass: float | None
    in_scope: float | None = None
    best_label: str | None = None
    labels: list[str] | None = None
    entropy: float | None = None
    truncated: bool | None = None
    answered_by: str | None = None
    top: list[LabelScore]
    explanation: JsonObject | None = None


class Results(BaseModel):
    """The answers to the questions of a request, in their order."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "model": {"name": "shipped", "version": "38b50f0e7c1f"},
                    "request_id": "3f2b",
                    "results": [
                        {
                            "question": _EXAMPLE, "label": "biology", "score": 0.8277,
                            "scores": {"biology": 0.8277, "psychology": 0.0671},
                            "label_mass": 0.999, "top": _LABELS,
                        }
                    ],
                }
            ]
        }
    )  # fmt: skip

    model: ModelName
    request_id: str
    results: list[Result]


class RequestLimits(BaseModel):
    """What a request may have."""

    questions: int
    explained_questions: int
    explained_characters: int = Field(description="Of all questions of a request with explain, options included.")
    characters: int = Field(description="Of one question with its options.")
    body_bytes: int
    deadline_seconds: float


class DescribedLabel(BaseModel):
    """A label, and its description where it has one."""

    label: str
    description: str


class ModelFacts(BaseModel):
    """What the model is and how well it was measured."""

    name: str
    version: str
    base: dict[str, str] | None
    labels: list[DescribedLabel]
    prompt: JsonObject | None
    temperature: float
    thresholds: dict[str, float] = Field(
        description="The confidence above which that share of answers is right on new questions like the validation "
        "rows, with a probability of 95 %."
    )
    min_in_scope: float | None = Field(
        description="The probability of belonging to any label below which few questions are; null where it has none."
    )
    measured: JsonObject = Field(description="Metrics on validation rows, and reports on test rows.")
    cascade: bool = Field(description="Whether a fast model answers the questions that it is sure of.")
    explains: bool
    sentences: bool = Field(description="Whether it writes a sentence for an explanation.")
    warning: str
    limits: RequestLimits


class Info(BaseModel):
    """A model as text-embeddings-inference describes it."""

    model_config = ConfigDict(protected_namespaces=())

    model_id: str
    model_sha: str | None
    model_dtype: str
    served_model_name: str
    model_type: dict[str, dict[str, JsonObject]]
    max_concurrent_requests: int
    max_input_length: int
    max_batch_tokens: int
    max_batch_requests: int | None
    max_client_batch_size: int
    auto_truncate: bool
    tokenization_workers: int
    version: str
    sha: str | None
    docker_label: str | None


class Refused(BaseModel):
    """Why a request is not answered."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"error": "The question is empty; give it at least one word.", "error_type": "validation"}]
        }
    )

    error: str
    error_type: str


class RefusedWithId(Refused):
    """Why a request under `/v1` is not answered."""

    request_id: str
