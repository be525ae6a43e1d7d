"""What the author of a connector uses: the client of a vendor's API, schemas, and what webhooks prove."""
