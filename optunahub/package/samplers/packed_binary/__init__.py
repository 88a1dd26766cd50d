"""Packed binary genomes for Optuna: everything is in the installed package ecad-automl."""

try:
    from studies.binary import (
        Descriptor,
        PackedBinarySampler,
        enqueue_bits,
        genome_of,
        release_stale,
        suggest_bits,
    )
except ModuleNotFoundError as error:
    raise ModuleNotFoundError(
        f"{error}. The sampler is part of the package ecad-automl; the README of this package says how to install it."
    ) from error

__all__ = ["Descriptor", "PackedBinarySampler", "enqueue_bits", "genome_of", "release_stale", "suggest_bits"]
