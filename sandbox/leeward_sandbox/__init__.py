"""A cluster and an AWS on loopback, to try everything on."""
