"""Mistyped words as they were meant, by a dictionary and the words of the training rows. Knows text; knows no model.

A word that neither of the two has gives way to the known word that one slip of the fingers makes of it: a letter left
out, one too many, a wrong one, or two changed about (Norvig 2007, "How to write a spelling corrector"); or a space put
in it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import pairwise

# What pyspellchecker has a dictionary of.
LANGUAGES = ("ar", "de", "en", "es", "eu", "fa", "fr", "it", "lv", "nl", "pt", "ru")

# A run of letters that is no part of a formula, a command, a name in a program, a file or an address.
_WORD = re.compile(r"(?<![\w\\@#$/.^{])[^\W\d_]+(?![\w@^(]|[./][^\W_])")
_LETTERS = re.compile(r"[^\W\d_]+")
_SENTENCE_START = re.compile(r"(?:^|[.?!:]\s+)\W*$")
_SHORTEST, _LONGEST = 3, 30  # letters of a word that is judged by itself
_MOST = 128  # unknown words of a text; each costs a millisecond


def count_words(texts: Iterable[str]) -> dict[str, int]:
    """In how many of the texts each word stands, in lower case, of those in two at least."""
    counts = Counter(word for text in texts for word in {found.lower() for found in _LETTERS.findall(text)})
    return {word: count for word, count in sorted(counts.items()) if count > 1}


class Speller:
    """Puts known words in place of mistyped ones.

    Left as they are: names, which have a capital within a sentence; words of one or two letters, or of more than 30;
    two words of the training rows that were run together; formulas, programs and addresses; a text with more than 128
    unknown words; and a text of another language, where three words and a third of all are unknown, and fewer than two
    thirds of those are one slip away from words of the training rows.

    Args:
        language: one of `LANGUAGES`.
        words: words of the training rows, as `count_words` gives them. They are right as they are, and of several that
            a mistyped word may stand for, the one in the most rows is taken.
    """

    def __init__(self, language: str, words: Mapping[str, int]) -> None:
        from spellchecker import SpellChecker

        self._words = words
        self._checker = SpellChecker(language, distance=1)
        self._meant = lru_cache(maxsize=65_536)(self._nearest)

    def mend(self, text: str) -> str:
        """`text` with its mistyped words as they were probably meant."""
        words = {word.lower() for word in _LETTERS.findall(text) if _SHORTEST <= len(word) <= _LONGEST}
        unknown = {word for word in words if not self._knows(word)}
        if not 0 < len(unknown) <= _MOST or (3 * len(unknown) >= max(len(words), 9) and self._foreign(unknown)):
            return text
        text = self._joined(text)
        return _WORD.sub(lambda found: self._in_place(found, unknown), text)

    def _foreign(self, unknown: set[str]) -> bool:
        slips = sum(self._meant(word) in self._words or self._is_two(word) for word in unknown)
        return 3 * slips < 2 * len(unknown)

    def _joined(self, text: str) -> str:
        """`text` without the spaces that make known words unknown."""
        found, end = [], 0
        for left, right in pairwise(_WORD.finditer(text)):
            parts = left.group().lower(), right.group().lower()
            apart = text[left.end() : right.start()] != " " or left.start() < end
            if not apart and not all(map(self._knows, parts)) and self._words.get("".join(parts)):
                found.append(text[end : left.end()])
                end = right.start()
        return "".join([*found, text[end:]])

    def _in_place(self, found: re.Match[str], unknown: set[str]) -> str:
        word, low = found.group(), found.group().lower()
        if low not in unknown:
            return word
        if word == low:
            return self._meant(low)
        starts = word[1:].islower() and _SENTENCE_START.search(found.string[max(0, found.start() - 8) : found.start()])
        meant = self._meant(low) if starts else low
        return word if meant == low else meant[0].upper() + meant[1:]

    def _knows(self, word: str) -> bool:
        return word in self._words or (len(word) >= _SHORTEST and word in self._checker)

    def _nearest(self, word: str) -> str:
        edits = {edit for edit in self._checker.edit_distance_1(word) if len(edit) > 1 and self._knows(edit)}
        near = max(edits, key=lambda edit: (self._words.get(edit, 0), self._checker[edit], edit), default=word)
        return word if near not in self._words and self._is_two(word) else near

    def _is_two(self, word: str) -> bool:
        return any(word[:cut] in self._words and word[cut:] in self._words for cut in range(2, len(word) - 1))
