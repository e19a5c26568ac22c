"""One DRExecution: fixed once; its waves, gates and commands, and the record of it."""
