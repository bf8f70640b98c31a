"""Metrics, significance, calibration and thresholds: from probabilities and labels alone."""
