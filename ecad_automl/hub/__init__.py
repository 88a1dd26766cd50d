"""Schedules of folders and of the Hugging Face hub: names, indexes, and reading them. Imports no torch."""

from ecad_automl.hub.fetching import parse_reference
from ecad_automl.hub.folder import INDEX, SCHEDULE, make_folder, schedule_paths
from ecad_automl.hub.index import (
    INDEX_SCHEMA,
    IndexEntry,
    ScheduleIndex,
    entry_of,
    load_index,
    load_pretrained,
    save_index,
    save_schedules,
)

__all__ = [
    "INDEX",
    "INDEX_SCHEMA",
    "SCHEDULE",
    "IndexEntry",
    "ScheduleIndex",
    "entry_of",
    "load_index",
    "load_pretrained",
    "make_folder",
    "parse_reference",
    "save_index",
    "save_schedules",
    "schedule_paths",
]
