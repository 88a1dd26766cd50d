"""A whole search in one call."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from rich.console import Console

from ecad_automl.api.front import Front
from ecad_automl.api.live import outcome, run_with_status
from ecad_automl.api.model import as_model
from ecad_automl.api.rewards import as_reward, measured_constraints
from ecad_automl.api.settings import MethodTable, SearchFile
from ecad_automl.api.starting import known_schedules, latency_settings, noise_seeds, study_name
from ecad_automl.errors import PromptError
from ecad_automl.prompts import PromptSet, read_prompt_set
from ecad_automl.prompts.prompt_set import collect
from studies import LatencySettings, SearchConfig, SearchJob, SearchStatus, run_search

if TYPE_CHECKING:
    from ecad_automl.rewards import Constraint, PairedReward, Reward

__all__ = ["search"]

_LOGGER = logging.getLogger("ecad_automl")


def search(
    pipe_or_model: Any,
    prompts: Sequence[str] | PromptSet | str | Path,
    *,
    reward: str | Reward | PairedReward | Callable[..., Any] = "fidelity",
    storage: str | Path = "sqlite:///ecad.db",
    study: str | None = None,
    evaluations: int | None = None,
    images_per_prompt: int = 1,
    constraints: Iterable[str | Constraint] = (),
    cost: str | LatencySettings = "gmacs",
    seed: int | None = None,
    steps: int | None = None,
    guidance_scale: float | None = None,
    height: int | None = None,
    width: int | None = None,
    batch_size: int = 8,
    init: Sequence[str | Path] = (),
    init_limit: int = 24,
    progress: bool = True,
    config: SearchConfig | None = None,
) -> Front:
    """Search for the best schedules at every cost, or go on where an earlier search stopped.

    The same call goes on with the study in ``storage``, as does ``ecad-automl search`` with the same model, prompts,
    reward and settings, and the other way round. Whatever ends it, all that was evaluated is kept: after Ctrl-C, or the
    stop button of a notebook, ``Front.load(storage, study)`` is the front so far.

    Args:
        pipe_or_model: a diffusers pipeline, on its device; the name of a model ("shapes", a folder or a hub id); or
            what :func:`~ecad_automl.load_model` gave.
        prompts: texts, a prompt set, or what :func:`~ecad_automl.prompts.read_prompt_set` takes. Texts are stripped,
            and each is taken once.
        reward: what to maximize: a name as for :func:`~ecad_automl.rewards.load_reward`, an object with a name and
            ``score(images, prompts)`` or ``score_pairs(images, references, prompts)``, or a function
            ``(images, prompts) -> scores`` that was written with def. Images are ``(n, 3, h, w)`` float in [0, 1]. A
            study knows a reward by its name: where one's own reward changes, change its name, or the study.
        storage: path or ``sqlite:///`` URL of the study database.
        study: name of the study in it; by default the last part of the model's name.
        evaluations: schedules to evaluate in all, earlier calls included; by default those of the config, or 150.
        images_per_prompt: images, of different noise, of each prompt.
        constraints: bounds that schedules must keep, such as ``"fidelity>=-0.05"``.
        cost: what to minimize: "gmacs", or "latency" as timed on this machine, for which
            :class:`~studies.config.LatencySettings` may say how.
        seed: of the search; by default that of the config, or 0.
        steps: denoising steps; by default as the pipeline is commonly called, as are the following three.
        guidance_scale: guidance.
        height: pixels.
        width: pixels.
        batch_size: images per pipeline call.
        init: other studies (``FILE.db`` or ``FILE.db#STUDY``), schedule files or folders of such to start from.
        init_limit: schedules to take over from them at most.
        progress: whether to show how it goes. Without, what the user should know is logged as warnings.
        config: all further settings of the search.

    Returns:
        The front of the study.

    Raises:
        EcadError: of the kind that says what is wrong: the model is not supported, prompts cannot be read, the reward
            is none or fails candidate after candidate, the study was begun with something else, ...
        KeyboardInterrupt: the user stopped it.
    """
    console = Console(quiet=not progress)
    settings = _config(config, evaluations, seed)
    latency = cost if isinstance(cost, LatencySettings) else latency_settings(cost)
    seeds = noise_seeds(images_per_prompt)
    chosen = _prompts(prompts)
    say = partial(console.print, style="yellow", highlight=False, markup=False) if progress else _LOGGER.warning
    for note in chosen.notes:
        say(note)
    scorer = as_reward(reward)
    bounds = measured_constraints(constraints)
    model = as_model(pipe_or_model).with_settings(
        steps=steps, guidance_scale=guidance_scale, height=height, width=width
    )
    name = study or study_name(model.name)
    sources = [init] if isinstance(init, str | Path) else init
    known = known_schedules(sources, storage, name, console)
    if not progress:
        for note in (note for source in known for note in source.notes):
            say(note)
    job = SearchJob(
        model,
        list(chosen.prompts),
        scorer,
        storage,
        name,
        seeds,
        batch_size,
        settings,
        latency,
        init=known,
        init_limit=init_limit,
        constraints=bounds,
    )
    named = {
        "prompts": str(prompts) if isinstance(prompts, str | Path) else None,
        "reward": reward if isinstance(reward, str) else scorer.name,
        "init": [str(source) for source in sources],
    }
    job = replace(job, settings=_file(job, named).to_bytes())
    console.print(
        f"Study {name} in {storage}: {len(chosen)} prompts x {images_per_prompt} images, {model.settings.steps} steps, "
        f"reward {scorer.name}, cost {'latency' if latency else 'gmacs'}, {settings.evaluations} evaluations.",
        highlight=False,
        markup=False,
    )
    with _quiet_optuna():
        if progress:
            console.print(outcome(run_with_status(job, console, "call")), highlight=False)
        else:
            run_search(job, _Logged())
    return Front.load(storage, name)


def _config(config: SearchConfig | None, evaluations: int | None, seed: int | None) -> SearchConfig:
    found = config or SearchConfig()
    return replace(
        found,
        evaluations=found.evaluations if evaluations is None else evaluations,
        seed=found.seed if seed is None else seed,
    )


def _prompts(given: Sequence[str] | PromptSet | str | Path) -> PromptSet:
    if isinstance(given, PromptSet):
        return given
    if isinstance(given, str | Path):
        return read_prompt_set(str(given))
    if not isinstance(given, Iterable):
        raise PromptError(
            f"The prompts are a {type(given).__name__}, but a list of texts, a prompt set, or the name of a file, data "
            "set or published set is expected."
        )
    return collect("prompts", "the list of prompts", [(prompt, None) for prompt in given])


def _file(job: SearchJob, named: dict[str, Any]) -> SearchFile:
    """The settings of a job, defaults included, as far as they have a form in a file.

    Args:
        job: what is searched for.
        named: what only the caller knows: what prompts, reward and sources were called.
    """
    generation, config, latency = job.model.settings, job.config, job.latency
    dtype = str(job.model.pipe.transformer.dtype).removeprefix("torch.")
    return SearchFile.from_options(
        {
            "model": job.model.name,
            "dtype": dtype if dtype in ("float32", "float16", "bfloat16") else None,
            "steps": generation.steps,
            "guidance_scale": generation.guidance_scale,
            "height": generation.height,
            "width": generation.width,
            "images_per_prompt": len(job.seeds),
            "constraint": [str(constraint) for constraint, _ in job.constraints],
            "cost": "latency" if latency else "gmacs",
            "latency_batch_size": latency.batch_size if latency else None,
            "latency_schedules": latency.schedules if latency else None,
            "storage": str(job.storage),
            "study": job.study,
            "evaluations": config.evaluations,
            "population": config.batch,
            "init_limit": job.init_limit,
            "batch_size": job.batch_size,
            "seed": config.seed,
            "heuristics": config.heuristics,
            "race": config.race > 0,
            "surrogate": config.surrogate,
            **named,
        },
        MethodTable.from_config(config),
    )


class _Logged:
    """An observer that shows nothing, and logs what its user should know."""

    def update(self, status: SearchStatus) -> None:
        """Show nothing."""

    def message(self, text: str) -> None:
        """Log it."""
        _LOGGER.warning(text)


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """For a while, no line of Optuna's for each trial."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
