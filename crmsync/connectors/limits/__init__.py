"""How many calls a system gets, and when none: budgets, slots and circuit breakers."""
