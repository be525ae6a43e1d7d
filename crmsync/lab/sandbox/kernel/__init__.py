"""What every stand-in is built on: HTTP, its accidents, faults, the ledger, accounts. It knows no vendor."""
