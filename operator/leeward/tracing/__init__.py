"""Traces: an execution as a tree of spans, and where they go.

Whoever is traced knows nothing of this package. What a run did is read off its record as the
operator's watch shows it (`spans`, `sight`); only calls to AWS are the process's own (`calls`).
"""
