"""Loading pipelines: the bundled one, a local folder, or a hub id."""

from ecad_automl.models.loading import LoadedModel, load_model, model_layout

__all__ = ["LoadedModel", "load_model", "model_layout"]
