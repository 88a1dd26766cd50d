"""Loading pipelines: the bundled one, a local folder, or a hub id."""

from ecad_automl.models.loading import CHANGED, LoadedModel, load_model, model_layout

__all__ = ["CHANGED", "LoadedModel", "load_model", "model_layout"]
