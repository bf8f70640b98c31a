"""Text as it can be stored and read: no control characters, no halves of characters, one form of each letter."""

from __future__ import annotations

import re
import unicodedata

# All ASCII control characters but tab and line breaks.
CONTROL_CHARACTERS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

# Halves of characters, which JSON can spell (\\ud83d) and UTF-8 cannot store.
_SURROGATES = re.compile("[\ud800-\udfff]")


def replace_surrogates(text: str) -> str:
    """Return `text` as UTF-8 can store it: two surrogates in a row as their character, a lone one as U+FFFD."""
    if not _SURROGATES.search(text):
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


def clean_text(text: str) -> str:
    """Return `text` as every predictor sees it, from wherever it comes.

    Control characters, which pasted PDFs and LaTeX in JSON have, become spaces; tab and line breaks stay. What UTF-8
    cannot store becomes U+FFFD, the replacement character. The rest is NFC-normalised and stripped.
    """
    return unicodedata.normalize("NFC", CONTROL_CHARACTERS.sub(" ", replace_surrogates(text))).strip()
