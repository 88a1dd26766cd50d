"""Schedules to share: folders and repositories of the hub, with cards and indexes; imports no torch."""

from ecad_automl.sharing.card import collection_card, schedule_card
from ecad_automl.sharing.card_file import check_card, write_card
from ecad_automl.sharing.files import CARD, INDEX, SCHEDULE, schedule_paths
from ecad_automl.sharing.index import INDEX_SCHEMA, IndexEntry, ScheduleIndex, load_index, save_index, save_schedules
from ecad_automl.sharing.pretrained import load_pretrained, push_schedule, push_schedules, save_pretrained
from ecad_automl.sharing.snippet import apply_snippet

__all__ = [
    "CARD",
    "INDEX",
    "INDEX_SCHEMA",
    "SCHEDULE",
    "IndexEntry",
    "ScheduleIndex",
    "apply_snippet",
    "check_card",
    "collection_card",
    "load_index",
    "load_pretrained",
    "push_schedule",
    "push_schedules",
    "save_index",
    "save_pretrained",
    "save_schedules",
    "schedule_card",
    "schedule_paths",
    "write_card",
]
