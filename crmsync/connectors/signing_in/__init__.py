"""Credentials for calls: how they are obtained, shared and renewed."""
