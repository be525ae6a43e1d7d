"""Keeps the CRM, the ERP and the books consistent with each other."""

__version__ = "0.1.0"
