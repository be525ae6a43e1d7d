"""`crmsync …`, and the `celery -A crmsync dead-letters …` plug-in."""
