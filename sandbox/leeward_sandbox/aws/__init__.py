"""An AWS on loopback: moto behind a gateway, and what moto lacks."""
