"""How the page spells figures and names. Knows no reports and no HTML."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from subjectwise.statistics.significance import Interval

# Between a number and its percent sign: narrow, and never a line's end.
SPACE = "\u202f"


def percent(share: float | None, digits: int = 1) -> str:
    return "–" if missing(share) else f"{100 * float(share or 0):.{digits}f}{SPACE}%"


def figure(value: float | None, digits: int = 3) -> str:
    return "–" if missing(value) else f"{float(value or 0):.{digits}f}"


def spread(interval: Any, digits: int = 1) -> str:
    """The two ends of an interval in percent."""
    found = _interval(interval)
    return f"{100 * found.low:.{digits}f} to {percent(found.high, digits)}"


def target_percent(name: str) -> str:
    """ "0.95" as "95 %"; a name that is no number stays as it is."""
    try:
        return f"{round(100 * float(name), 6):g}{SPACE}%"
    except ValueError:
        return name


def missing(value: float | None) -> bool:
    """Whether there is no figure, as where there were no rows."""
    return value is None or not math.isfinite(value)


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def clip(text: str, longest: int) -> str:
    """Text on one line, without what does not print, cut at `longest` characters, between words where it can be."""
    plain = " ".join("".join(letter if letter.isprintable() else " " for letter in text).split())
    if len(plain) <= longest:
        return plain
    start, _, rest = plain[: longest - 1].rpartition(" ")
    return (start if start and len(rest) < 20 else plain[: longest - 1]) + "…"


def joints(name: str) -> list[str]:
    """A long name in the parts between which a line may end."""
    return re.split(r"(?<=[-_/:])|(?<=[a-z])(?=[A-Z])", name)


@dataclass(frozen=True)
class Bar:
    """An interval to be drawn beside its figure: positions on a track from 0 to 100."""

    low: float
    high: float
    value: float
    mark: float | None = None


def bar(interval: Any, first: float = 0.0, last: float = 1.0, mark: float | None = None) -> Bar | None:
    """Where an interval (an `Interval`, or a dict as in a report) lies between `first` and `last`."""
    found = _interval(interval)
    if any(map(missing, (found.low, found.high, found.value))):
        return None

    def place(value: float) -> float:
        return round(100 * min(1.0, max(0.0, (value - first) / (last - first))), 2)

    return Bar(place(found.low), place(found.high), place(found.value), None if mark is None else place(mark))


def _interval(found: Any) -> Interval:
    return found if isinstance(found, Interval) else Interval(**found)
