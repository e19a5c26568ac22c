"""Drills that start at set times: when they are due, and whether they start."""
