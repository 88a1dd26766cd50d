"""Keeps the libraries below from talking over our own display."""

from __future__ import annotations

__all__ = ["quiet_libraries"]


def quiet_libraries() -> None:
    """Only errors from diffusers and transformers, only warnings from Optuna; imports all three."""
    import transformers

    transformers.logging.set_verbosity_error()
    import diffusers
    import optuna

    diffusers.utils.logging.set_verbosity_error()
    diffusers.utils.logging.disable_progress_bar()
    transformers.utils.logging.disable_progress_bar()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
