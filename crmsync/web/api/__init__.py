"""The management API below /api/erp: one module for each resource, with its schema, view and query.

`endpoints.py` says who may ask for what; `openapi.json` and the page `docs` are made from the code.
"""
