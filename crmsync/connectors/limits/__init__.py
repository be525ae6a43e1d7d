"""Limits on the calls to a system: budgets, slots and circuit breakers."""
