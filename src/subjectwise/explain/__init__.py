"""Why a question has its label: the words that changed the answer, and a sentence."""
