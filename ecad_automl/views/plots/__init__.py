"""Pictures of fronts, schedules and images, as PNG files. Needs neither torch nor a display."""

from ecad_automl.views.plots.confirmation import plot_confirmation
from ecad_automl.views.plots.convergence import plot_convergence
from ecad_automl.views.plots.front import Point, plot_front
from ecad_automl.views.plots.grid import image_grid
from ecad_automl.views.plots.heatmap import plot_heatmap

__all__ = ["Point", "image_grid", "plot_confirmation", "plot_convergence", "plot_front", "plot_heatmap"]
