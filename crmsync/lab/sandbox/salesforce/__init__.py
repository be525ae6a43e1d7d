"""Salesforce's stand-in: REST API with SOQL, collections, composite and Bulk API 2.0, and its outgoing messages."""
