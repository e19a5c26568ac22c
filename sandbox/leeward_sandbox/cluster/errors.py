"""What goes wrong in a sandbox, said so that a person can mend it."""


class ClusterError(Exception):
    """A part of the sandbox cannot be had or does not run; the text says what to do."""
