"""How the page writes numbers and names. Knows no reports and no HTML."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from subjectwise.statistics.intervals import Interval

# Between a number and its percent sign: narrow, and never the end of a line.
SPACE = "\u202f"

MISSING = "–"


def percent(share: float | None, digits: int = 1) -> str:
    """Return a share in percent."""
    return MISSING if share is None or not math.isfinite(share) else f"{100 * share:.{digits}f}{SPACE}%"


def fixed(value: float | None, digits: int = 3) -> str:
    """Return a number with a fixed number of digits."""
    return MISSING if value is None or not math.isfinite(value) else f"{value:.{digits}f}"


def rate(value: float | None) -> str:
    """Return a number per second: a large one without a fraction."""
    return MISSING if value is None or not math.isfinite(value) else f"{value:,.{0 if value >= 100 else 1}f}"


def percent_range(interval: Interval, digits: int = 1) -> str:
    """Return the two ends of an interval in percent."""
    return f"{100 * interval.low:.{digits}f} to {percent(interval.high, digits)}"


def percent_name(name: str) -> str:
    """Return "0.95" as "95 %"; a name that is not a number stays as it is."""
    try:
        return f"{round(100 * float(name), 6):g}{SPACE}%"
    except ValueError:
        return name


def mean(values: Sequence[float]) -> float:
    """Return the arithmetic mean."""
    return sum(values) / len(values)


def clip(text: str, longest: int) -> str:
    """Return text on one line, without unprintable characters, cut at `longest`; between words where possible."""
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    if len(plain) <= longest:
        return plain
    start, _, rest = plain[: longest - 1].rpartition(" ")
    return (start if start and len(rest) < 20 else plain[: longest - 1]) + "…"


def breakable_parts(name: str) -> list[str]:
    """Return a long name in the parts between which a line may break."""
    return re.split(r"(?<=[-_/:])|(?<=[a-z])(?=[A-Z])", name)


@dataclass(frozen=True)
class Bar:
    """A metric drawn beside its value, as positions from 0 to 100 on a track; with its interval and a mark, if any."""

    value: float
    low: float | None = None
    high: float | None = None
    mark: float | None = None


def interval_bar(interval: Interval) -> Bar | None:
    """Return the bar of a share with its interval on a track from 0 to 1; None where it has no value."""
    if not all(map(math.isfinite, (interval.low, interval.high, interval.value))):
        return None
    return Bar(_position(interval.value), _position(interval.low), _position(interval.high))


def marked_bar(value: float, mark: float | None, last: float) -> Bar:
    """Return the bar of a value without an interval on a track from 0 to `last`."""
    return Bar(_position(value, last), mark=None if mark is None else _position(mark, last))


def _position(value: float, last: float = 1.0) -> float:
    return round(100 * min(1.0, max(0.0, value / last)), 2)
