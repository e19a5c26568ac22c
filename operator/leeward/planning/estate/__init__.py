"""What there is to recover: resources found, those that a plan recovers, and their state."""
