"""The command line: one short file a verb, and nothing heavy until a verb runs."""

from __future__ import annotations

import sys
from typing import cast

_COMPLETING = "_LEVELFIELD_COMPLETE"
_OF_ALL_VERBS = ("-v", "--verbose", "-q", "--quiet")


def main() -> None:
    """Run the command line. Exit codes:

    0 done, 1 the work failed, 2 the input is wrong, 70 a bug of ours, 75 the time is over; 130 stopped by Ctrl-C, 143
    by SIGTERM, 141 by a reader that went away.
    """
    from levelfield.cli.boundary import run_command

    sys.exit(run_command(_verb))


def _verb() -> int:
    """Parse the command line and run its verb; what it is told wrong is click's to say."""
    import os

    import typer

    from levelfield.cli.app import app

    # click's UsageError, which typer hands out under no name
    wrong_usage = cast("type[typer.BadParameter]", typer.BadParameter.__bases__[0])
    try:
        command = typer.main.get_command(app)
        if _COMPLETING in os.environ:  # the shell asks what may come next
            command.main(prog_name="levelfield")
        with command.make_context("levelfield", _options_first(sys.argv[1:])) as context:
            command.invoke(context)
    except typer.Exit as stop:
        return stop.exit_code
    except wrong_usage as error:
        error.show()
        return error.exit_code
    return 0


def _options_first(arguments: list[str]) -> list[str]:
    """What holds for all verbs may be written behind one, too."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    shared = [each for each in arguments[:end] if each in _OF_ALL_VERBS]
    return [*shared, *(each for each in arguments[:end] if each not in _OF_ALL_VERBS), *arguments[end:]]
