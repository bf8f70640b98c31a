"""The rows of comparison.py, as comparison.yaml lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import yaml
from common import HERE

# A fault of reading alone: the head's weights are random, as those of one that was not saved.
LOST_HEAD = "lost_head"


@dataclass(frozen=True)
class Row:
    """One predictor of the table.

    Attributes:
        name: of its folders.
        shown: its name in the table.
        protocol: of its rows.
        recipe: by which it is trained.
        settings: changes to the recipe.
        base: a key of the file's `bases`; empty for the embedded base and for baselines that need none.
        of: the row whose trained model is evaluated with the `fault`; empty where one is trained.
        fault: one of `head_faults.py` or `lost_head`, with which it is trained and evaluated; empty for none.
        mean_of: rows whose trained adapters are averaged; empty where one is trained.
    """

    name: str
    shown: str
    protocol: str
    recipe: str
    settings: tuple[str, ...]
    base: str = ""
    of: str = ""
    fault: str = ""
    mean_of: tuple[str, ...] = ()

    @property
    def needs(self) -> tuple[str, ...]:
        """The rows whose trained models it is made of."""
        return (self.of,) if self.of else self.mean_of

    @property
    def is_baseline(self) -> bool:
        return self.recipe.startswith("baseline:")

    def can_be_trained(self, bases: Mapping[str, str]) -> bool:
        """Whether it is made of no other row, and its base is at hand."""
        return not self.needs and (not self.base or self.base in bases)

    def set_options(self) -> list[str]:
        return [part for setting in self.settings for part in ("--set", setting)]


SPEC: dict[str, Any] = yaml.safe_load((HERE / "comparison.yaml").read_text(encoding="utf-8"))
BASES: dict[str, str] = SPEC["bases"]
PROTOCOLS = ("reference", "grouped", "control")


def read_rows() -> list[Row]:
    rows = []
    for protocol in PROTOCOLS:
        for entry in SPEC[protocol]:
            # A list within the list is a group of settings that many rows share.
            settings = [[part] if isinstance(part, str) else part for part in entry.pop("settings", [])]
            made_of = tuple(entry.pop("mean_of", []))
            flat = tuple(part for group in settings for part in group)
            rows.append(Row(protocol=protocol, settings=flat, mean_of=made_of, **entry))
    return rows


ROWS = read_rows()
