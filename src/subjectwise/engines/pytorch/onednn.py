"""Limits of oneDNN's caches, to be set before PyTorch computes anything.

oneDNN, and PyTorch's bridge to it, keep what they prepared for matrix products of up to 1,024 shapes. Questions come in
ever new shapes, for which a server would grow by a sixth; one forward pass needs about twenty.
"""

from __future__ import annotations

import os


def limit_caches(shapes: int = 64) -> None:
    """Keep what is prepared for `shapes` shapes, unless the environment says otherwise."""
    for variable in ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY"):
        os.environ.setdefault(variable, str(shapes))
