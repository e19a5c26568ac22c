"""Metrics: what they are called, what they say of objects and calls, and where they go.

Whoever is measured knows nothing of this package. Objects are read off the operator's watch
(`sight`), calls and passes are told to plain functions that are handed in (`meters`).
"""
