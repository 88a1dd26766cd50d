"""A whole search in one call."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna

from ecad_automl.api.config_file import preset_options
from ecad_automl.api.front import Front
from ecad_automl.api.job import announcement, keep_settings
from ecad_automl.api.live import outcome, run_with_status
from ecad_automl.api.model import as_model
from ecad_automl.api.plain_text import PlainConsole
from ecad_automl.api.rewards import as_reward, measured_constraints
from ecad_automl.api.starting import known_schedules, latency_settings, noise_seeds, study_name
from ecad_automl.api.terminal import say
from ecad_automl.errors import PromptError, UnsupportedModelError
from ecad_automl.execution import Execution
from ecad_automl.models import LoadedModel
from ecad_automl.prompts import PromptSet, read_prompt_set
from ecad_automl.prompts.prompt_set import collect
from storage import shown
from studies import LatencySettings, SearchConfig, SearchJob, SearchStatus, run_search

if TYPE_CHECKING:
    from ecad_automl.rewards import Constraint, PairedReward, Reward

__all__ = ["search"]

_LOGGER = logging.getLogger("ecad_automl")

#: How a pipeline is called.
_CALL = ("steps", "guidance_scale", "height", "width")
#: Settings of the search itself that a preset may have.
_SEARCH = ("evaluations", "population", "offspring")


def search(
    pipe_or_model: Any = None,
    prompts: Sequence[str] | PromptSet | str | Path | None = None,
    *,
    preset: str | None = None,
    reward: str | Reward | PairedReward | Callable[..., Any] | None = None,
    storage: str | Path = "sqlite:///ecad.db",
    study: str | None = None,
    evaluations: int | None = None,
    images_per_prompt: int | None = None,
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
    execution: Execution | None = None,
    wait: float | bool = False,
    backup_every: int = 1,
) -> Front:
    """Search for the best schedules at every cost, or go on where an earlier search stopped.

    The same call goes on with the study in ``storage``, as does ``ecad-automl search`` with the same model, prompts,
    reward and settings, and the other way round. Whatever ends it, all that was evaluated is kept: after Ctrl-C, or the
    stop button of a notebook, ``Front.load(storage, study)`` is the front so far.

    Args:
        pipe_or_model: a diffusers pipeline, on its device; the name of a model ("shapes", a folder or a hub id); or
            what :func:`~ecad_automl.load_model` gave. May be left out with a preset.
        prompts: texts, a prompt set, or what :func:`~ecad_automl.prompts.read_prompt_set` takes. Texts are stripped,
            and each is taken once. May be left out with a preset.
        preset: an experiment of ECAD's paper, as of ``ecad-automl search --preset``: "pixart-alpha-256",
            "pixart-sigma-256", "flux-dev-256" or "flux-dev-1024". It stands in for arguments that are left out, also
            for the first two; a model by name is loaded in its revision and dtype and with its scheduler, while a
            pipeline keeps these and is only called as the preset says. Its limit of prompts is for prompts by name.
        reward: what to maximize: a name as for :func:`~ecad_automl.rewards.load_reward`, an object with a name and
            ``score(images, prompts)`` or ``score_pairs(images, references, prompts)``, or a function
            ``(images, prompts) -> scores`` that was written with def. Images are ``(n, 3, h, w)`` float in [0, 1]. A
            study knows a reward by its name: where one's own reward changes, change its name, or the study. By
            default "fidelity".
        storage: path or ``sqlite:///`` URL of the study database.
        study: name of the study in it; by default the last part of the model's name.
        evaluations: schedules to evaluate in all, earlier calls included; by default those of the config, of the
            preset, or 150.
        images_per_prompt: images, of different noise, of each prompt; by default 1.
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
        config: all further settings of the search; in place of those of a preset.
        execution: where candidates are evaluated, if not in this process. Workers elsewhere load the model and the
            reward by name, so they must be given so.
        wait: what to do while another search runs on the same file, or on the same study of a server: refuse, wait as
            long as it takes, or wait so many seconds at most.
        backup_every: generations between two backups of the study file, ``FILE.backup``; 0 makes none.

    Returns:
        The front of the study.

    Raises:
        EcadError: of the kind that says what is wrong: there is no such preset, the model is not supported, prompts
            cannot be read, the reward is none or fails candidate after candidate, the study was begun with something
            else, ...
        KeyboardInterrupt: the user stopped it.
    """
    console = PlainConsole(quiet=not progress)
    default = preset_options(preset)
    settings = _config(config, default, evaluations, seed)
    latency = cost if isinstance(cost, LatencySettings) else latency_settings(cost)
    seeds = noise_seeds(default.get("images_per_prompt", 1) if images_per_prompt is None else images_per_prompt)
    prompts = default.get("prompts") if prompts is None else prompts
    chosen = _prompts(prompts, default.get("limit"))
    warn = partial(say, console, style="yellow") if progress else _LOGGER.warning
    for note in chosen.notes:
        warn(note)
    reward = default.get("reward", "fidelity") if reward is None else reward
    scorer = as_reward(reward)
    bounds = measured_constraints(constraints)
    model = _model(pipe_or_model, default)
    model = model.with_settings(**{name: default.get(name) for name in _CALL})
    model = model.with_settings(steps=steps, guidance_scale=guidance_scale, height=height, width=width)
    name = study or study_name(model.name)
    sources = [init] if isinstance(init, str | Path) else init
    known = known_schedules(sources, storage, name, console)
    if not progress:
        for note in (note for source in known for note in source.notes):
            warn(note)
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
        wait=math.inf if wait is True else float(wait),
        backup_every=backup_every,
        execution=execution or Execution(),
        reward_given=reward if isinstance(reward, str) else None,
    )
    said = {
        "prompts": str(prompts) if isinstance(prompts, str | Path) else None,
        "reward": reward if isinstance(reward, str) else scorer.name,
        "init": [str(source) for source in sources],
        **_said_by_preset(default, prompts, pipe_or_model),
    }
    job = keep_settings(job, said)
    say(console, announcement(job), keep=[shown(storage)])
    with _quiet_optuna():
        if progress:
            say(console, outcome(run_with_status(job, console, "call")))
        else:
            run_search(job, _Logged())
    return Front.load(storage, name)


def _model(given: Any, default: Mapping[str, Any]) -> LoadedModel:
    """The model that is given, or that of a preset.

    Raises:
        UnsupportedModelError: there is none, or it cannot be searched.
    """
    given = default.get("model") if given is None else given
    if given is None:
        raise UnsupportedModelError(
            "There is no model to search; give a diffusers pipeline, the name of one, or a preset."
        )
    model = as_model(given, revision=default.get("revision"), dtype=default.get("dtype"))
    return model.with_scheduler(default.get("scheduler")) if isinstance(given, str | Path) else model


def _said_by_preset(default: Mapping[str, Any], prompts: Any, model: Any) -> dict[str, Any]:
    """What of a preset was used and cannot be seen from the search itself."""
    names = [
        *(("limit",) if isinstance(prompts, str | Path) else ()),
        *(("revision", "scheduler") if model is None or isinstance(model, str | Path) else ()),
    ]
    return {name: default[name] for name in names if name in default}


def _config(
    config: SearchConfig | None, default: Mapping[str, Any], evaluations: int | None, seed: int | None
) -> SearchConfig:
    ours = {name: default[name] for name in _SEARCH if name in default}
    found = config or SearchConfig(**ours)
    return replace(
        found,
        evaluations=found.evaluations if evaluations is None else evaluations,
        seed=found.seed if seed is None else seed,
    )


def _prompts(given: Sequence[str] | PromptSet | str | Path | None, limit: int | None) -> PromptSet:
    if given is None:
        raise PromptError("There are no prompts to search on; give a list of texts, the name of a set, or a preset.")
    if isinstance(given, PromptSet):
        return given
    if isinstance(given, str | Path):
        return read_prompt_set(str(given), limit=limit)
    if not isinstance(given, Iterable):
        raise PromptError(
            f"The prompts are a {type(given).__name__}, but a list of texts, a prompt set, or the name of a file, data "
            "set or published set is expected."
        )
    return collect("prompts", "the list of prompts", [(prompt, None) for prompt in given])


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
