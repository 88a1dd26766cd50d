"""``ecad-automl plot``: pictures of a study."""

from __future__ import annotations

from pathlib import Path

from ecad_automl.api.stored import read_study
from ecad_automl.cli.options import Json, Out, SameSteps, Storage, Study
from ecad_automl.cli.output import messages, print_json, print_paths, step
from ecad_automl.views.study import file_name_of


def plot(
    storage: Storage = "sqlite:///ecad.db",
    study: Study = None,
    out: Out = Path("plots"),
    same_steps: SameSteps = False,
    json_output: Json = False,
) -> None:
    """Draw the front beside its baselines, hypervolume against evaluations and, if any, the confirmed front."""
    found = read_study(storage, study, same_steps=same_steps)
    front, hypervolume, confirmed = (
        out / f"{file_name_of(found.name)}-{what}.png" for what in ("front", "hypervolume", "confirmed")
    )
    has_confirmed = found.confirmed is not None and bool(found.confirmed.front)
    with step(messages(), "Drawing"):
        from ecad_automl.views.plots import plot_confirmation, plot_front, plot_hypervolume

        plot_front(front, found)
        plot_hypervolume(hypervolume, found)
        if found.confirmed is not None and has_confirmed:
            plot_confirmation(confirmed, found, found.confirmed)
    if json_output:
        print_json(
            {
                "schema": "ecad-automl/plot/1",
                "study": found.name,
                "storage": found.storage,
                "front": front,
                "hypervolume": hypervolume,
                "confirmed": confirmed if has_confirmed else None,
            }
        )
    else:
        print_paths(front, hypervolume, *([confirmed] if has_confirmed else []))
