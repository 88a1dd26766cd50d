"""Showing what was found: plots, reports, notebooks."""
