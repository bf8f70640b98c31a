"""Answers a request's questions: scored by the queue, decided once, explained on request. Knows no HTTP."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from subjectwise.errors import DataError
from subjectwise.explain.evidence import evidence_steps
from subjectwise.records import ALWAYS_ONE, EXPLANATION_ROUNDS, Decision, Explanation, Prediction, Question
from subjectwise.serving.accepted_request import AcceptedRequest, Usage
from subjectwise.serving.error_responses import Refusal
from subjectwise.serving.loaded_model import LoadedModel
from subjectwise.serving.request_queue import RequestQueue
from subjectwise.statistics.thresholds import decide

# Writes the sentence of an explanation.
Sentences = Callable[[LoadedModel, Explanation], Awaitable[str]]


@dataclass(frozen=True)
class AnswerOptions:
    """How the questions of one request are answered.

    Attributes:
        decision: whether to abstain, or to give several labels.
        explain: find the words that changed each answer.
        sentence: write a sentence for each explanation.
        whole: refuse questions that are longer than the model reads, instead of cutting their middle.
    """

    decision: Decision = ALWAYS_ONE
    explain: bool = False
    sentence: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Answer:
    """The predictions for one request, all of the same model; explanations only where they were requested."""

    model: LoadedModel
    predictions: list[Prediction]
    explanations: list[Explanation] = field(default_factory=list)
    usage: Usage = field(default_factory=Usage)


async def answer_questions(
    queue: RequestQueue,
    questions: Sequence[Question],
    options: AnswerOptions | None = None,
    write_sentence: Sentences | None = None,
) -> Answer:
    """Answer questions within the deadline. Cancelled, what has not been computed never is.

    Args:
        queue: what scores them.
        questions: each with the options that the model is to be shown.
        options: how they are answered.
        write_sentence: used where the options ask for sentences.

    Raises:
        Refusal: the queue is full, the deadline has passed, or the model failed at a question.
    """
    options = options or AnswerOptions()
    # An explanation reads the whole question once more, and then without some of its words.
    further = len(questions) * (1 + EXPLANATION_ROUNDS) if options.explain else 0
    async with queue.accept(questions, further, options.whole, options.explain) as request:
        labels = list(request.model.labels)
        try:
            options.decision.check(labels, request.model.classifier.min_in_scope is not None)
        except DataError as error:
            raise Refusal(str(error)) from error
        scored = await request.score(questions)
        predictions = decide(questions, scored, labels, options.decision)
        explanations = []
        for question in questions if options.explain else ():
            explanation = await _explain(request, question, labels)
            if options.sentence and write_sentence:
                explanation = replace(explanation, sentence=await write_sentence(request.model, explanation))
            explanations.append(explanation)
        return Answer(request.model, predictions, explanations, request.usage)


async def _explain(request: AcceptedRequest, question: Question, labels: Sequence[str]) -> Explanation:
    steps = evidence_steps(question, labels)
    questions = next(steps)
    while True:
        probabilities = (await request.score(questions)).probabilities
        try:
            questions = steps.send(probabilities)
        except StopIteration as stop:
            explanation: Explanation = stop.value
            return explanation
