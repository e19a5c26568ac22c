"""kopf: wake-ups and process lifecycle, nothing else."""
