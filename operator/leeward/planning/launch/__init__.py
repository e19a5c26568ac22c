"""Settings that servers are launched with."""
