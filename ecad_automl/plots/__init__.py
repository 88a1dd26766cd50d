"""Pictures of fronts, schedules and images, as PNG files. Needs neither torch nor a display."""

from ecad_automl.plots.confirmation import plot_confirmation
from ecad_automl.plots.convergence import plot_convergence
from ecad_automl.plots.front import Point, plot_front
from ecad_automl.plots.grid import image_grid
from ecad_automl.plots.heatmap import plot_heatmap

__all__ = ["Point", "image_grid", "plot_confirmation", "plot_convergence", "plot_front", "plot_heatmap"]
