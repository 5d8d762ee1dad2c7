"""The command line: one short file a verb, and nothing heavy until a verb runs."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; 0 done, 1 the work failed, 2 the input is wrong, 75 the time is over."""
    from levelfield.cli.app import app
    from levelfield.cli.console import complain
    from levelfield.records.errors import LevelfieldError

    try:
        app()
    except LevelfieldError as error:
        complain(str(error))
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        complain("stopped; the same command goes on where it was")
        sys.exit(130)
