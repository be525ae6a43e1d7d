"""Schema changes, in order, by Alembic; `crmsync migrate` applies them."""
