"""`crmsync prove`: breaks the real processes on purpose and counts documents in the stand-ins' own ledgers."""
