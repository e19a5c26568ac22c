"""What a run would meet, before it touches anything: the checks of preflight, and previews."""
