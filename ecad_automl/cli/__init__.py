"""The command line ``ecad-automl``."""

from __future__ import annotations

import sys

from ecad_automl.errors import EcadError

__all__ = ["main"]


def main() -> None:
    """Run the command line."""
    try:
        from ecad_automl.cli.app import main as run
    except EcadError as error:  # our packages cannot be imported
        sys.stderr.write(f"Error: {error}\n")
        sys.exit(2)
    run()
