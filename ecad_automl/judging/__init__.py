"""Making images and saying how good they are: generation, evaluation, comparison, statistics."""
