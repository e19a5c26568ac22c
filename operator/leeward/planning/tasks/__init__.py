"""One DRTask: what to do next for its resources."""
