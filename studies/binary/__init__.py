"""Searching the front of two objectives over packed binary genomes: an Optuna sampler. Knows no schedules."""

from studies.binary.sampler import PackedBinarySampler, enqueue_bits, suggest_bits
from studies.binary.space import default_descriptors, genome_of, pack_bits, unpack_bits
from studies.breeding import Descriptor
from studies.breeding.stale import release_stale

__all__ = [
    "Descriptor",
    "PackedBinarySampler",
    "default_descriptors",
    "enqueue_bits",
    "genome_of",
    "pack_bits",
    "release_stale",
    "suggest_bits",
    "unpack_bits",
]
