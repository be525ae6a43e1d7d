"""`crmsync demo`: the whole system with no configuration, and a story that shows what it does."""
