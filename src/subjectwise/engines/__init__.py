"""Engines: one forward pass over many rows that share a cached prefix."""
