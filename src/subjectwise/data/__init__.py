"""Rows from the Hub or from files, cleaned, grouped by twins, dealt into splits and written with a manifest."""
