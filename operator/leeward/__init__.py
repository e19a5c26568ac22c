"""Leeward: a Kubernetes operator for moving an application estate between AWS Regions."""
