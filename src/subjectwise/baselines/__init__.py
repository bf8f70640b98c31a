"""What a user would try instead of a language model, behind the same protocol."""
