"""Running verbs in this process."""

import sys

import pytest

from levelfield.cli import main


@pytest.fixture
def invoke(monkeypatch, capsys):
    """Run a command line in this process; exit code and what it wrote."""

    def invoked(*arguments):
        monkeypatch.setattr(sys, "argv", ["levelfield", *map(str, arguments)])
        try:
            main()
            code = 0
        except SystemExit as stop:
            code = stop.code or 0
        return code, *capsys.readouterr()

    return invoked
