"""Spelling correction from a dictionary and the training vocabulary. Knows text; knows no model.

An out-of-vocabulary word is replaced by the best known word at edit distance 1: one letter missing, added, replaced or
swapped with the next (Norvig 2007, "How to write a spelling corrector"), or one space inserted.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import lru_cache
from itertools import pairwise

# A run of letters outside formulas, commands, identifiers, file names and addresses.
_WORD = re.compile(r"(?<![\w\\@#$/.^{])[^\W\d_]+(?![\w@^(]|[./][^\W_])")
_LETTERS = re.compile(r"[^\W\d_]+")
_SENTENCE_START = re.compile(r"(?:^|[.?!:]\s+)\W*$")
_SHORTEST, _LONGEST = 3, 30  # letters of a word that is looked up by itself
_MOST_UNKNOWN = 128  # unknown words of a text; each costs a millisecond


def count_words(texts: Iterable[str]) -> dict[str, int]:
    """Return the training vocabulary: in how many texts each word occurs, in lower case, for words in two or more."""
    counts = Counter(word for text in texts for word in {match.lower() for match in _LETTERS.findall(text)})
    return {word: count for word, count in sorted(counts.items()) if count > 1}


class SpellingCorrector:
    """Replaces misspelt words by known ones.

    Unchanged are: names, which have a capital within a sentence; words of one or two letters, or of more than 30;
    two words of the training vocabulary written without the space; formulas, programs and addresses; a text with more
    than 128 unknown words; and a text of another language, where at least three words and a third of all are unknown
    and fewer than two thirds of those are at edit distance 1 from the training vocabulary.

    Args:
        language: one of the languages of pyspellchecker's dictionaries, such as `en`.
        words: the training vocabulary, as `count_words` returns it. Its words are correct as they are, and of several
            corrections the one in the most training rows is chosen.
    """

    def __init__(self, language: str, words: Mapping[str, int]) -> None:
        from spellchecker import SpellChecker

        self._words = words
        self._checker = SpellChecker(language, distance=1)
        self._correction = lru_cache(maxsize=65_536)(self._nearest)

    def correct(self, text: str) -> str:
        """Return `text` with its misspelt words corrected."""
        words = {word.lower() for word in _LETTERS.findall(text) if _SHORTEST <= len(word) <= _LONGEST}
        unknown = {word for word in words if not self._knows(word)}
        if not 0 < len(unknown) <= _MOST_UNKNOWN:
            return text
        if 3 * len(unknown) >= max(len(words), 9) and self._is_foreign(unknown):
            return text
        return _WORD.sub(lambda match: self._replacement(match, unknown), self._joined(text))

    def _is_foreign(self, unknown: set[str]) -> bool:
        near = sum(self._correction(word) in self._words or self._is_two_words(word) for word in unknown)
        return 3 * near < 2 * len(unknown)

    def _joined(self, text: str) -> str:
        """Return `text` without spaces inside words of the training vocabulary."""
        parts, end = [], 0
        for left, right in pairwise(_WORD.finditer(text)):
            words = left.group().lower(), right.group().lower()
            adjacent = text[left.end() : right.start()] == " " and left.start() >= end
            if adjacent and not all(map(self._knows, words)) and self._words.get("".join(words)):
                parts.append(text[end : left.end()])
                end = right.start()
        return "".join([*parts, text[end:]])

    def _replacement(self, match: re.Match[str], unknown: set[str]) -> str:
        word, low = match.group(), match.group().lower()
        if low not in unknown:
            return word
        if word == low:
            return self._correction(low)
        before = match.string[max(0, match.start() - 8) : match.start()]
        starts_sentence = word[1:].islower() and _SENTENCE_START.search(before)
        corrected = self._correction(low) if starts_sentence else low
        return word if corrected == low else corrected[0].upper() + corrected[1:]

    def _knows(self, word: str) -> bool:
        return word in self._words or (len(word) >= _SHORTEST and word in self._checker)

    def _nearest(self, word: str) -> str:
        edits = {edit for edit in self._checker.edit_distance_1(word) if len(edit) > 1 and self._knows(edit)}
        best = max(edits, key=lambda edit: (self._words.get(edit, 0), self._checker[edit], edit), default=word)
        return word if best not in self._words and self._is_two_words(word) else best

    def _is_two_words(self, word: str) -> bool:
        return any(word[:cut] in self._words and word[cut:] in self._words for cut in range(2, len(word) - 1))
