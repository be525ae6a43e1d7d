"""What every step needs: the lease, the ledger, retries, dead letters, and the sweeper that forgets nothing."""
