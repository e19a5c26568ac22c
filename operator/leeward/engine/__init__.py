"""Runs what the planning decides."""
