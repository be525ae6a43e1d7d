"""Keeps the CRM, the ERP and the books telling the same story."""

__version__ = "0.1.0"
