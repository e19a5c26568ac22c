"""What the whole suite needs of its process."""

import signal

# Whoever starts the suite in the background may have it ignore SIGINT, and a program inherits what
# is ignored: the tests that interrupt one would wait in vain.
signal.signal(signal.SIGINT, signal.default_int_handler)
