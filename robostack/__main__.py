"""`python -m robostack` is `robostack`."""

from robostack.cli import main

raise SystemExit(main())
