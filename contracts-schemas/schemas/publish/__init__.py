"""Printing the published language: frozen JSON Schemas, the AsyncAPI document and the index of events.

`python -m schemas.publish` is run by people and by tests in a checkout; no service needs it at run time.
"""
