"""Loading pipelines: the bundled one, a local folder, or a hub id. Imports no torch until something is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ecad_automl.models.loading import CHANGED, LoadedModel, load_model, model_layout

__all__ = ["CHANGED", "LoadedModel", "load_model", "model_layout"]


def __getattr__(name: str) -> Any:
    # Settings of a generation lie here too, which commands that only read a study use.
    if name in __all__:
        from ecad_automl.models import loading

        return getattr(loading, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
