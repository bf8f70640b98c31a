"""Whether a request belongs to any label: Platt's fit, and a threshold that few questions are below."""

from __future__ import annotations

import numpy as np
import pytest

from subjectwise.statistics.scope import LOST_QUESTIONS, ScopeCalibration, fit_scope, weighted_quantile


def test_known_slope_and_intercept_are_found() -> None:
    generator = np.random.default_rng(0)
    log_odds = generator.normal(0, 4, 40_000)
    in_scope = generator.random(40_000) < ScopeCalibration(0.7, 0.0).apply(log_odds)
    fitted = fit_scope(log_odds, in_scope, np.ones(40_000))
    assert fitted.slope == pytest.approx(0.7, abs=0.03) and fitted.intercept == pytest.approx(0.0, abs=0.08)


def test_few_requests_of_no_label_count_as_much_as_many_questions() -> None:
    generator = np.random.default_rng(1)
    log_odds = np.concatenate([generator.normal(5, 2, 5_000), generator.normal(-5, 2, 100)])
    in_scope = np.arange(5_100) < 5_000
    fitted = fit_scope(log_odds, in_scope, np.ones(5_100))
    assert ScopeCalibration.apply(fitted, np.array([0.0]))[0] == pytest.approx(0.5, abs=0.15)


def test_rows_that_are_separable_have_a_finite_slope() -> None:
    log_odds = np.array([6.0, 7.0, 8.0, -6.0, -7.0, -8.0])
    fitted = fit_scope(log_odds, log_odds > 0, np.ones(6))
    assert 0 < fitted.slope < 10 and fitted.threshold > 0.5
    assert ((fitted.apply(log_odds) > 0.5) == (log_odds > 0)).all()


def test_few_questions_are_below_the_threshold() -> None:
    generator = np.random.default_rng(2)
    log_odds = np.concatenate([generator.normal(3, 2, 4_000), generator.normal(-3, 2, 400)])
    in_scope = np.arange(4_400) < 4_000
    fitted = fit_scope(log_odds, in_scope, np.ones(4_400))
    lost = np.mean(fitted.apply(log_odds[:4_000]) < fitted.threshold)
    assert LOST_QUESTIONS - 0.002 < lost <= LOST_QUESTIONS


def test_kinds_of_questions_count_by_their_weights() -> None:
    values, weights = np.arange(10.0), np.array([5.0] + [1.0] * 9)
    assert weighted_quantile(values, weights, 0.0) == 0 and weighted_quantile(values, weights, 0.3) == 0
    assert weighted_quantile(values, weights, 0.4) == 1 and weighted_quantile(values, weights, 0.5) == 3


def test_certain_log_odds_do_not_overflow() -> None:
    assert list(ScopeCalibration(1.0, 0.0).apply(np.array([-1e6, 1e6]))) == [0.0, 1.0]
