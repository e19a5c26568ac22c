"""The command lines `leeward` and `kubectl leeward`."""
