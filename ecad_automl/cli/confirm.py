"""``ecad-automl confirm``: the front on prompts and seeds that the search never saw."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ecad_automl.api.live import LiveProgress
from ecad_automl.api.prompts import choose_prompts, held_out_prompts
from ecad_automl.api.stored import read_study
from ecad_automl.api.terminal import say
from ecad_automl.cli.completion import complete_reward
from ecad_automl.cli.exit_codes import STOPPED
from ecad_automl.cli.front import confirmed_of, show_confirmation
from ecad_automl.cli.options import (
    BatchSize,
    Column,
    Device,
    Json,
    Moved,
    Offloaded,
    Prompts,
    SameSteps,
    Split,
    Storage,
    Study,
)
from ecad_automl.cli.output import messages, step
from ecad_automl.cli.study_model import Place, load_again
from ecad_automl.cli.verbosity import quiet_libraries
from ecad_automl.errors import EvaluationError, OptionError, RewardError, StudyError
from ecad_automl.views.study import StudyView
from storage import Store, redacted
from studies.confirmation import check_unseen

if TYPE_CHECKING:
    from ecad_automl.models import LoadedModel
    from ecad_automl.rewards import PairedReward, Reward

#: One more prompt says more than one more seed of each.
_SHAPES_PROMPTS = 96


def confirm(
    storage: Storage = "sqlite:///ecad.db",
    study: Study = None,
    prompts: Prompts = None,
    column: Column = None,
    split: Split = None,
    seeds: Annotated[
        str | None, typer.Option(help="Noise seeds such as 7, 5,6 or 100-103; by default the next unused one.")
    ] = None,
    limit: Annotated[int | None, typer.Option(help="Take only the first so many prompts.")] = None,
    baselines: Annotated[bool, typer.Option(help="Also score FORA and runs of fewer steps.")] = True,
    same_steps: SameSteps = False,
    batch_size: BatchSize = 8,
    model: Moved = None,
    reward: Annotated[
        str | None,
        typer.Option(
            help="The study's reward, where its name does not tell: module:attribute, clip=HUB-ID.",
            autocompletion=complete_reward,
        ),
    ] = None,
    device: Device = None,
    offload: Offloaded = None,
    json_output: Json = False,
) -> None:
    """Score the front again, on prompts and seeds that the search never saw, and tell how much of it survives.

    A front is chosen by its best scores, so these flatter it. The same command goes on where an earlier run stopped.
    """
    found = read_study(storage, study, same_steps=same_steps)
    place = Place(model, device, offload)
    place.check()
    chosen = _prompts(storage, found, prompts, column, split, limit)
    numbers = read_seeds(seeds) if seeds is not None else [max(found.identity["seeds"]) + 1]
    check_unseen(chosen, numbers, found.identity)
    console = messages()
    with step(console, "Reading the study"):
        quiet_libraries()
        from studies.confirmation.run import ConfirmationJob, pending_runs, run_confirmation

        job = ConfirmationJob(storage, found.name, chosen, numbers, baselines, batch_size, same_steps)
        pending = pending_runs(job)
    say(
        console,
        f"Study {found.name} in {redacted(storage)}: {len(pending)} runs to score on {len(chosen)} prompts x "
        f"{len(numbers)} seed{'s' * (len(numbers) > 1)} that the search did not use.",
        keep=[redacted(storage)],
    )
    if pending:
        with step(console, "Loading the model"):
            loaded, scorer = _load(found.identity, place, reward)
        try:
            with LiveProgress(console) as live:
                run_confirmation(job, loaded, scorer, live)
        except KeyboardInterrupt:
            say(console, "Stopped. Every run that was scored is kept; the same command goes on from here.")
            raise typer.Exit(STOPPED) from None
    found = read_study(storage, found.name, job.sample, same_steps=same_steps)
    show_confirmation(found, confirmed_of(found), json_output=json_output)


def read_seeds(text: str) -> list[int]:
    """Seeds from a text such as ``5,6`` or ``100-103``.

    Raises:
        EvaluationError: the text is something else, or names a seed twice.
    """
    seeds: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"\s*(\d+)(?:-(\d+))?\s*", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (1, 0)
        if last < first:
            raise OptionError(f"The seeds {text!r} cannot be read; write such as 7, 5,6 or 100-103.")
        seeds += range(first, last + 1)
    if len(set(seeds)) != len(seeds):
        raise OptionError(f"The seeds {text!r} name one twice; each must be given once.")
    return seeds


def _prompts(
    storage: str, study: StudyView, given: str | None, column: str | None, split: str | None, limit: int | None
) -> list[str]:
    """Those that are named, those that the search left aside, or bundled ones."""
    if limit is not None and limit < 2:
        raise EvaluationError(f"The limit is {limit} prompts; an interval over prompts needs at least 2.")
    if given is None:
        from studies.job import PROMPT_SPLIT

        with Store.open(storage, read_only=True) as store:
            kept = store.calibration(study.name, PROMPT_SPLIT)
        if kept is not None:
            return list(held_out_prompts(messages(), kept).prompts[:limit])
    model = str(study.identity["model"])
    found = choose_prompts(messages(), model, given, column, split, limit, bundled="held-out", count=_SHAPES_PROMPTS)
    return list(found.prompts)


def _load(identity: Mapping[str, Any], place: Place, reward: str | None) -> tuple[LoadedModel, Reward | PairedReward]:
    """The model and reward of a study, called as it was there."""
    from ecad_automl.rewards import load_reward, maximized

    try:
        scorer = maximized(load_reward(reward or identity["reward"], device=place.device))
    except RewardError as error:
        if reward is not None:
            raise
        raise StudyError(
            f"The study's reward {identity['reward']!r} cannot be loaded by its name ({error}); name it with --reward, "
            "as module:attribute where it is your own."
        ) from error
    return load_again(identity, place), scorer
