"""What the author of a connector uses: the client for a vendor's API, schemas, and webhook authentication."""
