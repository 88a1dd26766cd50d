"""Keeps the libraries below from talking over our own display."""

from __future__ import annotations

from ecad_automl.cli.verbosity import Verbosity, current_verbosity


def quiet_libraries() -> None:
    """Only errors from diffusers and transformers, only warnings from Optuna; imports all three.

    With ``--verbose`` their warnings and bars are shown. With ``--quiet`` also the hub's downloads have none.
    """
    import transformers

    verbosity = current_verbosity()
    verbose = verbosity is Verbosity.VERBOSE
    for_transformers = transformers.utils.logging
    (for_transformers.set_verbosity_warning if verbose else for_transformers.set_verbosity_error)()
    import diffusers
    import optuna

    for_diffusers = diffusers.utils.logging
    (for_diffusers.set_verbosity_warning if verbose else for_diffusers.set_verbosity_error)()
    for logging in (for_diffusers, for_transformers):
        (logging.enable_progress_bar if verbose else logging.disable_progress_bar)()
    if verbosity is Verbosity.QUIET:
        from huggingface_hub.utils.tqdm import disable_progress_bars

        disable_progress_bars()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
