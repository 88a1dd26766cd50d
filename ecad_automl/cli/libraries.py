"""Keeps the libraries below from talking over our own display."""

from __future__ import annotations

from importlib import import_module

from ecad_automl.cli.verbosity import Verbosity, current_verbosity


def quiet_libraries() -> None:
    """Only errors from diffusers and transformers, only warnings from Optuna; imports all three.

    With ``--verbose`` their warnings and bars are shown. With ``--quiet`` also the hub's downloads have none.
    """
    verbosity = current_verbosity()
    verbose = verbosity is Verbosity.VERBOSE
    for library in ("transformers", "diffusers"):  # in this order, for diffusers imports transformers
        logging = import_module(f"{library}.utils.logging")
        (logging.set_verbosity_warning if verbose else logging.set_verbosity_error)()
        (logging.enable_progress_bar if verbose else logging.disable_progress_bar)()
    if verbosity is Verbosity.QUIET:
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
    import optuna

    optuna.logging.set_verbosity(optuna.logging.WARNING)
