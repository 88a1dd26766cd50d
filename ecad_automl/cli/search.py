"""``ecad-automl search``: the main job."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated, Self, cast

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from ecad_automl.cli.libraries import quiet_libraries
from ecad_automl.cli.options import Device, Dtype, Model, Revision, Storage, Study
from ecad_automl.cli.prompts import BUNDLED, Column, Limit, Prompts, Split, choose_prompts, split_record
from ecad_automl.errors import EvaluationError, PromptError

if TYPE_CHECKING:
    from studies import SearchStatus
    from studies.config import Heuristics
    from studies.known import KnownSchedules

__all__ = ["search"]

_SHAPES_PROMPTS = 24


def search(
    model: Model = BUNDLED,
    storage: Storage = "sqlite:///ecad.db",
    study: Study = None,
    prompts: Prompts = None,
    column: Column = None,
    split: Split = None,
    limit: Limit = None,
    calibration_prompts: Annotated[
        int | None, typer.Option(help="Search on so many of the prompts, drawn evenly; confirm takes the others.")
    ] = None,
    reward: Annotated[
        str | None,
        typer.Option(
            help="Such as image-reward, clip=HUB-ID, 0.8*image-reward+0.2*clip, or your own module:attribute."
        ),
    ] = None,
    constraint: Annotated[
        list[str] | None,
        typer.Option(help="Bound that a schedule must keep, such as 'fidelity>=-0.05'; may be given several times."),
    ] = None,
    cost: Annotated[str, typer.Option(help="What to minimize: gmacs, or latency as timed on this machine.")] = "gmacs",
    evaluations: Annotated[int, typer.Option(help="Schedules to evaluate in all, earlier runs included.")] = 150,
    population: Annotated[int, typer.Option(help="Schedules per generation.")] = 8,
    init: Annotated[
        list[str] | None,
        typer.Option(
            help="Start from another study (FILE.db or FILE.db#STUDY), or a schedule file or a folder of such."
        ),
    ] = None,
    init_limit: Annotated[int, typer.Option(help="With --init: schedules to take over at most.")] = 24,
    images_per_prompt: Annotated[int, typer.Option(help="Images (noise seeds) per prompt.")] = 1,
    batch_size: Annotated[int, typer.Option(help="Images per pipeline call.")] = 8,
    latency_batch_size: Annotated[int, typer.Option(help="With --cost latency: images per timed call.")] = 1,
    latency_schedules: Annotated[int, typer.Option(help="With --cost latency: schedules that are timed first.")] = 40,
    steps: Annotated[int | None, typer.Option(help="Denoising steps; by default the model's usual count.")] = None,
    guidance_scale: Annotated[float | None, typer.Option(help="Guidance; by default the model's usual one.")] = None,
    height: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    width: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the search.")] = 0,
    heuristics: Annotated[
        str, typer.Option(help="Published heuristics to evaluate first: fora, all (also TGATE, PAB, ...) or none.")
    ] = "fora",
    race: Annotated[
        bool, typer.Option(help="Stop candidates that promise little after the most telling images.")
    ] = True,
    surrogate: Annotated[bool, typer.Option(help="Let the surrogate choose candidates.")] = True,
    revision: Revision = None,
    dtype: Dtype = None,
    device: Device = None,
) -> None:
    """Search for the best schedules at every cost. The same command goes on where an earlier run stopped."""
    from studies.config import LatencySettings, SearchConfig

    config = SearchConfig(
        evaluations=evaluations,
        batch=population,
        surrogate=surrogate,
        seed=seed,
        race=1.0 if race else 0.0,
        heuristics=cast("Heuristics", heuristics),
    )
    if cost not in ("gmacs", "latency"):
        raise EvaluationError(f"The cost {cost!r} is unknown; choose gmacs or latency.")
    latency = LatencySettings(latency_batch_size, latency_schedules) if cost == "latency" else None
    if init_limit < 0:
        raise EvaluationError(f"The --init-limit is {init_limit}; it must not be negative.")
    if images_per_prompt < 1:
        raise EvaluationError(f"There are {images_per_prompt} images per prompt; at least 1 is needed.")
    found = choose_prompts(model, prompts, column, split, limit, bundled="calibration", count=_SHAPES_PROMPTS)
    chosen, aside = list(found.prompts), None
    if calibration_prompts is not None:
        from ecad_automl.prompts import split_prompts

        if prompts is None:
            raise PromptError("The bundled prompts are split already; give --calibration-prompts with --prompts.")
        parts = split_prompts(found, calibration_prompts)
        chosen, aside = list(parts.calibration.prompts), split_record(parts, prompts, column, split, limit)

    console = Console()
    known = _known(init or [], storage, study or _study_name(model), console)
    with console.status("Loading the model ..."):
        quiet_libraries()
        from ecad_automl.models import load_model
        from ecad_automl.rewards import load_reward, maximized, parse_constraint
        from studies import SearchJob, run_search

        scorer = maximized(load_reward(reward or (BUNDLED if model == BUNDLED else "fidelity"), device=device))
        bounds = [parse_constraint(text) for text in constraint or []]
        constraints = [(bound, load_reward(bound.metric, device=device)) for bound in bounds]
        loaded = load_model(model, revision=revision, dtype=dtype, device=device).with_settings(
            steps=steps, guidance_scale=guidance_scale, height=height, width=width
        )
    job = SearchJob(
        loaded,
        chosen,
        scorer,
        storage,
        study or _study_name(model),
        tuple(range(images_per_prompt)),
        batch_size,
        config,
        latency,
        init=known,
        init_limit=init_limit,
        constraints=constraints,
        prompt_split=aside,
    )
    console.print(
        f"Study [bold]{job.study}[/] in {storage}: {len(chosen)} prompts x {images_per_prompt} images, "
        f"{loaded.settings.steps} steps, reward {scorer.name}, cost {cost}, {evaluations} evaluations."
    )
    try:
        with _LiveStatus(console) as live:
            status = run_search(job, live)
    except KeyboardInterrupt:
        console.print("Stopped. Everything evaluated is kept; the same command goes on from here.")
        raise typer.Exit(130) from None
    best = ", ".join(f"{_signed(value)} at {speedup:g}x" for speedup, value in status.best.items())
    console.print(
        f"Done: {status.evaluations} schedules, hypervolume {_number(status.hypervolume)}; best mean reward "
        f"difference to uncached: {best}.\nNext: [bold]ecad-automl front --storage {storage}[/]"
    )


def _known(init: list[str], storage: str, study: str, console: Console) -> list[KnownSchedules]:
    """What a study is to start from; nothing is read once it has begun, so the sources need not be there any more."""
    if not init:
        return []
    from studies.initial import has_started
    from studies.known import read_known

    if has_started(storage, study):
        console.print(f"The study {study!r} has begun; --init counts only when it begins, and is not read again.")
        return []
    known = [read_known(source) for source in init]
    for source in known:
        evaluated = f", and {len(source.evaluated)} evaluations to learn from" if source.evaluated else ""
        console.print(f"Starting from {source.name}: {len(source.seeds)} schedules{evaluated}.", highlight=False)
        for note in source.notes:
            console.print(note, style="yellow", highlight=False, soft_wrap=True)
    return known


def _study_name(model: str) -> str:
    return Path(model).name


class _LiveStatus:
    """A table that follows the search; where output is no terminal, a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=4, transient=True) if console.is_terminal else None
        self._printed = -1

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live:
            self._live.stop()

    def message(self, text: str) -> None:
        """Print a line that stays."""
        self._console.print(text, style="yellow")

    def update(self, status: SearchStatus) -> None:
        """Show the status."""
        if self._live:
            self._live.update(_table(status))
        elif status.text != "evaluating" or status.evaluations - self._printed >= 10:
            self._printed = status.evaluations
            self._console.print(_line(status), highlight=False)


def _figures(status: SearchStatus) -> dict[str, str]:
    return {
        "evaluations": _evaluations(status),
        "generation": str(status.generation),
        "hypervolume": _number(status.hypervolume),
        **{f"best at {speedup:g}x": _signed(value) for speedup, value in status.best.items()},
        "rank correlation": _number(status.rank_correlation, 2),
        "time left": _duration(status.seconds_left),
    }


def _evaluations(status: SearchStatus) -> str:
    if not status.stopped:
        return f"{status.evaluations}/{status.budget}"
    return f"{status.evaluations} ({status.stopped} stopped), {status.images:.0f}/{status.budget} by images"


def _table(status: SearchStatus) -> Table:
    table = Table(title=status.text, title_justify="left")
    figures = _figures(status)
    for name in figures:
        table.add_column(name, justify="right")
    table.add_row(*figures.values())
    return table


def _line(status: SearchStatus) -> str:
    return f"{status.text}: " + ", ".join(f"{name} {value}" for name, value in _figures(status).items() if value != "-")


def _number(value: float | None, digits: int = 4) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.4f}"


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
