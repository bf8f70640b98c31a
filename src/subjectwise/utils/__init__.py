"""Helpers that know nothing of questions: files, progress, optional dependencies, versions."""
