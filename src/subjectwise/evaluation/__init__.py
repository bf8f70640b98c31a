"""Measures any Predictor on labelled rows."""
