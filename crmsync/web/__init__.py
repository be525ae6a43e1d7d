"""The receiver, the control tower, health and metrics; nothing here ever calls a vendor."""
