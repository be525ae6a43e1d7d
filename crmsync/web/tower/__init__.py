"""The control tower: what runs, what waits for a person, and the two buttons that settle it."""

from crmsync.web.tower.views import blueprint

__all__ = ["blueprint"]
