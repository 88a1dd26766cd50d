"""The command line ``ecad-automl``."""

from ecad_automl.cli.app import main

__all__ = ["main"]
