"""Schedules to share: folders and repositories of the hub with cards for people. Imports no torch."""

from ecad_automl.hub import load_index, load_pretrained, save_schedules
from ecad_automl.sharing.card import CARD, check_card, collection_card, schedule_card, write_card
from ecad_automl.sharing.pretrained import PushOptions, push_schedule, push_schedules, save_pretrained
from ecad_automl.sharing.snippet import apply_snippet

__all__ = [
    "CARD",
    "PushOptions",
    "apply_snippet",
    "check_card",
    "collection_card",
    "load_index",
    "load_pretrained",
    "push_schedule",
    "push_schedules",
    "save_pretrained",
    "save_schedules",
    "schedule_card",
    "write_card",
]
