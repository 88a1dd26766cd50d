"""A study as something to read: one HTML file that works offline, or Markdown with PNG figures.

Pure functions from plain data, which :mod:`ecad_automl.views.report.data` describes; knows neither the study database
nor Optuna, and imports no torch.
"""

from ecad_automl.views.report._markdown import markdown_text, write_pictures
from ecad_automl.views.report._page import html_page
from ecad_automl.views.report._payload import data_uri

__all__ = ["data_uri", "html_page", "markdown_text", "write_pictures"]
