"""Small input files, each with a fault that a user met."""

from pathlib import Path

FAULTS = Path(__file__).parents[1] / "data" / "faults"
