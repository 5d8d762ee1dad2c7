"""``python -m levelfield`` is ``levelfield``."""

from levelfield.cli import main

main()
