"""A whole experiment on a real model, for whoever has a GPU and the hub: ``python -m benchmarks.real_model PRESET``."""
