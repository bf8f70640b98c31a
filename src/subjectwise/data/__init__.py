"""Rows from files or the Hub: read, grouped by near-duplicates, split by a protocol, written with a manifest."""
