"""A small report on the words of a text."""
