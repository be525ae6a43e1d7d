"""Zoho Books' stand-in: accounts server, API v3, and its payment webhook."""
