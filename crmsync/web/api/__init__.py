"""The management API below /api/erp: a module a resource, each with its schema, its view and its query.

`endpoints.py` says who may ask for what; `openapi.json` and the page `docs` are made from the code.
"""
