"""Why a question has its label: the words that moved the answer, and a sentence."""
