"""How long a pipeline takes: benchmarks under schedules, and a model that predicts the time of any schedule."""
