"""``levelfield watch``: the page of a study while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = "Example:  levelfield watch runs/quickstart --port 8000"


def watch(
    directory: Annotated[Path, typer.Argument(help="The directory of a study.")],
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; one that is free when left out.", min=0, max=65535)] = 0,
) -> None:
    """Serve the study's page to a browser on this machine, and keep it fresh as results come. Ctrl-C ends it.

    It only reads, writes nothing into the study, and goes on with the final page when the study is done.
    """
    import sys
    import threading

    from levelfield.cli.console import say
    from levelfield.watch.board import Board
    from levelfield.watch.live import LiveStudy
    from levelfield.watch.server import BoardServer

    study = LiveStudy(directory)
    first = study.look()
    assert first is not None  # a first look has something to show, or raises
    with BoardServer(board := Board(first), port=port) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        say(f"{directory}: {server.address} (on this machine alone; Ctrl-C ends it)")
        sys.stdout.flush()
        try:
            study.keep(board)
        finally:
            server.shutdown()
