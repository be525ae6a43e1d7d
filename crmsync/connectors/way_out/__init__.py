"""Exchanges with the outside: connecting, deadlines, and reading the answer."""
