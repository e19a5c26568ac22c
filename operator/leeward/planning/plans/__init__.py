"""RecoveryPlans: their rules, and what their status says."""
