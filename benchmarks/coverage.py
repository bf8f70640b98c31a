"""Simulates how often intervals, thresholds and the temperature keep what they promise. Needs no model and no data.

    python benchmarks/coverage.py [--draws 200]

Populations of 60,000 questions are made of drawn log-probabilities; samples of them are measured as `subjectwise
evaluate` and `subjectwise calibrate` do, and compared with the population:

1. intervals: of 100 samples, how many have an interval that contains the true value (95 wanted, 93 accepted);
2. thresholds: of 100 validation sets, after which the promised accuracy is missed on the population (at most 5);
3. ECE: of 100 perfectly calibrated models, how many stay below the bound that is printed with it (95);
4. temperature: NLL lost against the true temperature, by the number of validation rows, with and without the prior.

Writes benchmarks/results/coverage.json. The default, a minute or two on one core, may be off by three of 100;
the file in the repository is of 2,000 draws, a quarter of an hour.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from common import table, write_results

from subjectwise.statistics import calibration, metrics, significance
from subjectwise.statistics.intervals import Interval
from subjectwise.statistics.thresholds import find_threshold
from subjectwise.types import FloatArray, IntArray, JsonObject
from subjectwise.utils.versions import library_versions

POPULATION = 60_000
ACCEPTED = 93.0
MEASURED = ("accuracy", "macro_f1", "nll", "brier")


@dataclass(frozen=True)
class Population:
    """Log-probabilities, [questions, labels], that are calibrated but for `temperature`, and the true labels."""

    name: str
    log_probs: FloatArray
    truth: IntArray
    temperature: float = 1.0

    @property
    def probabilities(self) -> FloatArray:
        """Calibrated probabilities, [questions, labels]."""
        return calibration.apply_temperature(self.log_probs, self.temperature)


def make_population(
    name: str,
    labels: int,
    skill: float,
    *,
    temperature: float = 1.0,
    confident_errors: float = 0.0,
    shares: Sequence[float] = (),
    seed: int = 0,
) -> Population:
    """Draw a population.

    Args:
        name: for the tables.
        labels: how many.
        skill: how far the true label's logit lies above the others; that of a fifth of the questions is low.
        temperature: what the log-probabilities must be divided by.
        confident_errors: the share of questions whose label is another one, whatever the model says: no temperature
            corrects that.
        shares: of the labels; drawn where not given.
        seed: of the generator.
    """
    generator = np.random.default_rng(seed)
    intended = generator.choice(labels, size=POPULATION, p=shares or generator.dirichlet(np.full(labels, 6.0)))
    logits = 1.2 * generator.normal(size=(POPULATION, labels))
    hard = generator.random(POPULATION) < 0.2
    logits[np.arange(POPULATION), intended] += np.where(hard, 1.5, skill) + generator.normal(size=POPULATION)
    probabilities = calibration.apply_temperature(logits, 1.0)
    truth = (generator.random((POPULATION, 1)) > probabilities.cumsum(axis=1)).sum(axis=1).clip(0, labels - 1)
    moved = generator.random(POPULATION) < confident_errors
    truth[moved] = (truth[moved] + 1) % labels
    return Population(name, temperature * np.log(probabilities), truth, temperature)


def weaker(probabilities: FloatArray, share: float, seed: int = 1) -> FloatArray:
    """Return the probabilities of a second model, which moves those of a `share` of rows to the next label."""
    moved = np.random.default_rng(seed).random(len(probabilities)) < share
    other = probabilities.copy()
    other[moved] = np.roll(other[moved], 1, axis=1)
    return other


def interval_coverage(population: Population, rows: int, draws: int) -> JsonObject:
    """Return how many of 100 samples of `rows` rows have an interval that contains the true value, by metric."""
    probabilities, truth = population.probabilities, population.truth
    other = weaker(probabilities, 0.1)
    true = {name: metrics.MEASURES[name](probabilities, truth) for name in MEASURED}
    for name in ("accuracy", "macro_f1"):
        true[f"{name} difference"] = true[name] - metrics.MEASURES[name](other, truth)
    covered = dict.fromkeys(true, 0)
    generator = np.random.default_rng(rows)
    for _ in range(draws):
        drawn = generator.integers(0, len(truth), rows)
        own, second, labels = probabilities[drawn], other[drawn], truth[drawn]
        measured = significance.measure(own, labels)
        intervals = {name: measured.named(name) for name in MEASURED}
        intervals["accuracy difference"] = significance.accuracy_difference(own, second, labels)
        intervals["macro_f1 difference"] = significance.macro_f1_difference(own, second, labels)
        for name, interval in intervals.items():
            assert isinstance(interval, Interval)
            covered[name] += interval.low <= true[name] <= interval.high
    return {name: 100 * count / draws for name, count in covered.items()}


def kept_promises(population: Population, rows: int, targets: Sequence[float], draws: int) -> list[JsonObject]:
    """Return for 100 validation sets how many thresholds miss each target, how many give none, and the mean coverage.

    The whole calibration is simulated: the temperature is fitted on the rows that the threshold is fitted on.
    """
    log_probs, truth = population.log_probs, population.truth
    correct = log_probs.argmax(axis=1) == truth
    generator = np.random.default_rng(rows)
    missed, coverages = dict.fromkeys(targets, 0), {target: list[float]() for target in targets}
    for _ in range(draws):
        drawn = generator.integers(0, len(truth), rows)
        temperature = calibration.fit_temperature(log_probs[drawn], truth[drawn])
        own = calibration.apply_temperature(log_probs[drawn], temperature)
        confidence = calibration.apply_temperature(log_probs, temperature).max(axis=1)
        for target in targets:
            threshold = find_threshold(own.max(axis=1), correct[drawn], target)
            if threshold is not None:
                answered = confidence >= threshold
                missed[target] += bool(correct[answered].mean() < target)
                coverages[target].append(float(answered.mean()))
    return [
        {
            "target": target,
            "missed": 100 * missed[target] / draws,
            "no threshold": 100 * (draws - len(coverages[target])) / draws,
            "answered": 100 * float(np.mean(coverages[target])) if coverages[target] else None,
        }
        for target in targets
    ]


def below_the_bound(population: Population, rows: int, draws: int) -> float:
    """Return how many of 100 samples of a calibrated population have an ECE below its bound."""
    probabilities, truth = population.probabilities, population.truth
    generator = np.random.default_rng(rows)
    below = 0
    for _ in range(draws):
        drawn = generator.integers(0, len(truth), rows)
        own = probabilities[drawn]
        below += metrics.ece(own, truth[drawn]) <= metrics.perfect_ece(own, draws=200)
    return 100 * below / draws


def without_prior(log_probs: FloatArray, truth: IntArray) -> float:
    """Return the temperature of lowest NLL, 0.05 to 20, as 0.1.0 fitted it."""
    grid = np.exp(np.linspace(np.log(0.05), np.log(20.0), 241))
    return float(min(grid, key=lambda temperature: nll_at(log_probs, truth, temperature)))


def nll_at(log_probs: FloatArray, truth: IntArray, temperature: float) -> float:
    """Return the mean NLL at a temperature."""
    return metrics.nll(calibration.apply_temperature(log_probs, temperature), truth)


def temperature_loss(population: Population, rows: int, draws: int) -> JsonObject:
    """Return the mean NLL that fitted temperatures lose against the true one, in nats."""
    log_probs, truth = population.log_probs, population.truth
    tested = slice(0, 4000)
    best = nll_at(log_probs[tested], truth[tested], population.temperature)
    fits: dict[str, Callable[[FloatArray, IntArray], float]] = {
        "with the prior": calibration.fit_temperature, "without": without_prior,
    }  # fmt: skip
    lost = dict.fromkeys(fits, 0.0)
    generator = np.random.default_rng(rows)
    for _ in range(draws):
        drawn = generator.integers(4000, len(truth), rows)
        for name, fit in fits.items():
            lost[name] += nll_at(log_probs[tested], truth[tested], fit(log_probs[drawn], truth[drawn])) - best
    return {name: total / draws for name, total in lost.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--draws", type=int, default=200, help="samples of each population")
    draws = parser.parse_args().draws
    weak = make_population("14 labels, weak", 14, 2.5)
    rare = make_population("3 labels, one of 2 %", 3, 3.0, shares=(0.5, 0.48, 0.02))
    good = make_population("14 labels, good", 14, 6.0, temperature=1.7)
    few = make_population("4 labels, good", 4, 6.0, temperature=0.6)
    errors = make_population("14 labels, confident errors", 14, 7.0, temperature=1.7, confident_errors=0.02)
    results: JsonObject = {
        "draws": draws,
        "accuracies": {
            each.name: metrics.accuracy(each.log_probs, each.truth) for each in (weak, good, few, rare, errors)
        },
        "intervals": [
            {"population": each.name, "rows": rows, **interval_coverage(each, rows, draws)}
            for each, sizes in ((weak, (126, 400)), (good, (126, 2400)), (few, (40, 200)), (rare, (100, 400)))
            for rows in sizes
        ],
        "thresholds": [
            {"population": each.name, "rows": rows, **kept}
            for each in (good, few, errors)
            for rows in (400, 2400)
            for kept in kept_promises(each, rows, (0.9, 0.95, 0.99), draws)
        ],
        "ece_below_its_bound": [
            {"population": each.name, "rows": rows, "below": below_the_bound(each, rows, draws)}
            for each, rows in ((good, 126), (good, 2400), (few, 400))
        ],
        "temperature": [
            {"population": each.name, "rows": rows, **temperature_loss(each, rows, draws)}
            for each in (good, few)
            for rows in (12, 30, 100, 400)
        ],
        "versions": library_versions(),
    }
    write_results("coverage.json", results)
    show(results)


def show(results: JsonObject) -> None:
    """Print the results as tables."""
    for key, title in (
        ("intervals", "Of 100 samples, intervals that contain the true value"),
        ("thresholds", "Of 100 validation sets, thresholds that miss their target on the population"),
        ("ece_below_its_bound", "Of 100 perfectly calibrated models, those whose ECE is below its bound"),
        ("temperature", "NLL lost against the true temperature"),
    ):
        rows = results[key]
        cells = [[_cell(value) for value in row.values()] for row in rows]
        print(f"\n{title}\n\n{table(list(rows[0]), cells)}")
    worst = min(
        value for row in results["intervals"] for name, value in row.items() if name not in ("population", "rows")
    )
    most = max(row["missed"] for row in results["thresholds"])
    print(f"\nworst interval: {worst:.1f} of 100 (accepted: {ACCEPTED:g}); most missed promises: {most:.1f} of 100")


def _cell(value: object) -> str:
    if value is None:
        return "none"
    return f"{value:.3g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    main()
