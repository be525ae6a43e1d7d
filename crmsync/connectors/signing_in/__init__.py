"""Credentials of calls: how they are got, shared and renewed."""
