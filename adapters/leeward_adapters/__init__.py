"""One file per AWS service: what Leeward looks at and changes there."""
