"""``python -m omicsai`` is the ``omicsai`` command."""

import sys

from omicsai.cli import main

sys.exit(main())
