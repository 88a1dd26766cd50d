"""Pictures of fronts, schedules and images, as PNG files. Needs neither torch nor a display."""

from ecad_automl.views.plots._confirmation import plot_confirmation
from ecad_automl.views.plots._heatmap import AMPLIFICATION, image_grid, plot_heatmap
from ecad_automl.views.plots._progress import plot_hypervolume, plot_shares, plot_surrogate
from ecad_automl.views.plots.front_plot import plot_front

__all__ = [
    "AMPLIFICATION",
    "image_grid",
    "plot_confirmation",
    "plot_front",
    "plot_heatmap",
    "plot_hypervolume",
    "plot_shares",
    "plot_surrogate",
]
