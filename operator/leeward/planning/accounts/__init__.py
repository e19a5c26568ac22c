"""TargetAccounts and their status."""
