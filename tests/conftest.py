from __future__ import annotations

import signal

# Where the tests run in the background of a shell, SIGINT is ignored, and whatever they start inherits that.
signal.signal(signal.SIGINT, signal.default_int_handler)
