"""Values that a shell can complete; none of them takes an import of torch.

A shell offers files where nothing is completed. Completing never fails: what cannot be read has no values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import typer

from ecad_automl.errors import EcadError

#: A search that writes at that moment should not hold a shell up.
_BUSY_SECONDS = 0.5


def complete_study(context: typer.Context, incomplete: str) -> list[str]:
    """Studies of the database that ``--storage`` names."""
    from storage import Store

    storage = context.params.get("storage")
    if not storage:
        return []
    try:
        with Store.open(storage, read_only=True, busy_seconds=_BUSY_SECONDS) as store:
            return _beginning(store.studies(), incomplete)
    except EcadError:
        return []


def one_of(names: Iterable[str]) -> Callable[[str], list[str]]:
    """Completes names that are known beforehand."""

    def complete(incomplete: str) -> list[str]:
        return _beginning(names, incomplete)

    return complete


def complete_reward(incomplete: str) -> list[str]:
    """Rewards by name; in a sum, its last term."""
    from ecad_automl.rewards import reward_names

    before, plus, last = incomplete.rpartition("+")
    weight, times, name = last.rpartition("*")
    return [before + plus + weight + times + found for found in _beginning(reward_names(), name)]


def complete_metrics(incomplete: str) -> list[str]:
    """Metrics of an evaluation, the last one of the list."""
    from ecad_automl.rewards import reward_names

    before, comma, last = incomplete.rpartition(",")
    names = dict.fromkeys((*reward_names(), "latent-distance", "fid"))
    return [before + comma + found for found in _beginning(names, last)]


def complete_schedule(incomplete: str) -> list[str]:
    """Schedule files, and folders in which there may be some."""
    from ecad_automl.hub import INDEX

    return _paths(incomplete, lambda path: path.suffix == ".json" and path.name != INDEX)


def complete_model(incomplete: str) -> list[str]:
    """The bundled models, and folders."""
    from ecad_automl.bundled import BUNDLED

    return _beginning(BUNDLED, incomplete) + _paths(incomplete, lambda _: False)


def complete_prompts(incomplete: str) -> list[str]:
    """Published sets, and files that prompts are read from."""
    from ecad_automl.prompts import published_names
    from ecad_automl.prompts.reading import SUFFIXES

    return _beginning(published_names(), incomplete) + _paths(incomplete, lambda path: path.suffix in SUFFIXES)


def _beginning(names: Iterable[str], incomplete: str) -> list[str]:
    return [name for name in names if name.startswith(incomplete)]


def _paths(incomplete: str, wanted: Callable[[Path], bool]) -> list[str]:
    """Files and folders, as the user began to write their path; hidden ones where it begins with a dot."""
    before, slash, name = incomplete.rpartition("/")
    folder = Path(before + slash or ".").expanduser()
    try:
        entries = sorted(folder.iterdir())
    except OSError:
        return []
    shown = [entry for entry in entries if entry.name.startswith(name) and (name or entry.name[0] != ".")]
    return [before + slash + entry.name + "/" * entry.is_dir() for entry in shown if entry.is_dir() or wanted(entry)]
