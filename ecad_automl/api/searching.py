"""A whole search in one call."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import optuna
from rich.console import Console

from ecad_automl.api.config_file import preset_options, read_search_file
from ecad_automl.api.faults import Faults
from ecad_automl.api.job import announce, search_job
from ecad_automl.api.live import outcome, run_with_status
from ecad_automl.api.price import Price, price_of
from ecad_automl.api.rewards import as_reward
from ecad_automl.api.settings import SearchFile
from ecad_automl.api.study_front import Front
from ecad_automl.api.terminal import PlainConsole, say, warn
from ecad_automl.errors import OptionError, PromptError, UnsupportedModelError
from ecad_automl.prompts import PromptSet
from ecad_automl.prompts.prompt_set import collect
from studies.config import Deploy, GuidanceUse, Heuristics, LatencySettings, SearchConfig, Use

#: Arguments that are for a model by name, since a pipeline has them already.
_OF_THE_NAME = ("revision", "dtype", "device", "offload", "scheduler")
#: Arguments that stand for what calls say themselves, or that are for prompts.
_OF_PROMPTS = (
    *("prompts", "preset", "column", "split", "limit", "calibration_prompts"),
    *("steps", "guidance_scale", "height", "width", "batch_size"),
)
#: Arguments that become settings in another form, or none.
_OBJECTS = (
    *(
        "pipe_or_model",
        "prompts",
        "calls",
        "preset",
        "reward",
        "storage",
        "constraints",
        "cost",
        "init",
        "progress",
        "config",
    ),
    *("execution", "wait"),
)

if TYPE_CHECKING:
    from ecad_automl.execution import Execution
    from ecad_automl.execution.settings import ExecutorName
    from ecad_automl.models import LoadedModel
    from ecad_automl.models.checks import Offload
    from ecad_automl.rewards import Constraint, PairedReward, Reward
    from studies import SearchJob


def search(
    pipe_or_model: Any = None,
    prompts: Sequence[str] | PromptSet | str | Path | None = None,
    *,
    calls: Sequence[Mapping[str, Any]] | None = None,
    preset: str | None = None,
    reward: str | Reward | PairedReward | Callable[..., Any] | None = None,
    storage: str | Path | None = None,
    study: str | None = None,
    evaluations: int | None = None,
    column: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    calibration_prompts: int | None = None,
    images_per_prompt: int | None = None,
    constraints: Iterable[str | Constraint] = (),
    cost: str | LatencySettings = "gmacs",
    latency_batch_size: int | None = None,
    latency_schedules: int | None = None,
    population: int | None = None,
    offspring: int | None = None,
    heuristics: Heuristics | None = None,
    use: Use | None = None,
    steps_from: float | None = None,
    fixed_steps: bool | None = None,
    guidance: GuidanceUse | None = None,
    deploy: Deploy | None = None,
    fit: bool | None = None,
    race: bool | None = None,
    surrogate: bool | None = None,
    seed: int | None = None,
    revision: str | None = None,
    dtype: str | None = None,
    device: str | None = None,
    offload: Offload | None = None,
    scheduler: str | None = None,
    steps: int | None = None,
    guidance_scale: float | None = None,
    height: int | None = None,
    width: int | None = None,
    batch_size: int | None = None,
    init: Sequence[str | Path] = (),
    init_limit: int | None = None,
    progress: bool = True,
    config: SearchConfig | str | Path | None = None,
    execution: Execution | None = None,
    executor: ExecutorName | None = None,
    workers: int | None = None,
    address: str | None = None,
    gpus_per_worker: float | None = None,
    evaluation_timeout: float | None = None,
    asynchronous: bool | None = None,
    wait: float | bool = False,
    backup_every: int | None = None,
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
        calls: in place of prompts, arguments of the pipeline, a mapping for each call: prompt, image, control_image,
            mask_image, num_frames, ... Pipelines of any kind that can be run under a schedule take them, one at a time,
            also those that give videos, whose frames are each scored. What MACs depend on, such as the size, must be
            the same in all. A study keeps a digest of them, so that it goes on with the same calls alone.
        preset: settings of a model, as of ``ecad-automl search --preset``: "pixart-alpha-256", "pixart-sigma-256",
            "flux-dev-256" or "flux-dev-1024", each with "-paper" behind it as ECAD's whole experiment, and
            "qwen-image-1024". It stands in for arguments that are left out, also for the first two; a model by name is
            loaded in its revision and dtype and with its scheduler, while a pipeline keeps these and is only called as
            the preset says. Its limit of prompts is for prompts by name.
        reward: what to maximize: a name as for :func:`~ecad_automl.rewards.load_reward`, an object with a name and
            ``score(images, prompts)`` or ``score_pairs(images, references, prompts)``, or a function
            ``(images, prompts) -> scores`` that was written with def. Images are ``(n, 3, h, w)`` float in [0, 1]. A
            study knows a reward by its name: where one's own reward changes, change its name, or the study. By
            default that of a bundled model, such as "shapes-fidelity", else "fidelity".
        storage: path or ``sqlite:///`` URL of the study database; by default ``ecad.db``.
        study: name of the study in it; by default the last part of the model's name.
        evaluations: schedules to evaluate in all, earlier calls included; by default those of the config, of the
            preset, or 150.
        column: of prompts by name, where it is not called prompt or the like.
        split: of a data set of prompts.
        limit: take only the first so many of prompts by name.
        calibration_prompts: search on so many of prompts by name, drawn evenly; ``ecad-automl confirm`` takes the
            others.
        images_per_prompt: images, of different noise, of each prompt; by default 1.
        constraints: bounds that schedules must keep, such as ``"fidelity>=-0.05"``.
        cost: what to minimize: "gmacs", or "latency" as timed on this machine, for which
            :class:`~studies.config.LatencySettings` may say how.
        latency_batch_size: with latency as the cost, images per timed call; by default 1.
        latency_schedules: with latency as the cost, schedules that are timed first; by default 40.
        population: schedules that survive a generation and breed; by default 24.
        offspring: schedules evaluated in each generation; by default 8.
        heuristics: published heuristics to evaluate first: "fora", "all" or "none"; by default "fora".
        use: what may stand in for computing: "forecast", where outputs are forecast or reused and steps skipped,
            "skip", where each step is skipped or computed whole, or "reuse", ECAD's own schedules alone; by default
            "forecast", or what the study began with.
        steps_from: share of the steps from which on runs of fewer steps are searched too; by default about 0.2, or what
            the study began with.
        fixed_steps: whether to search runs of all steps alone; by default runs of fewer steps are searched too, or what
            the study began with.
        guidance: whether to "search" in which steps both branches of classifier-free guidance are computed, or "keep"
            both in all; by default "search", or what the study began with.
        deploy: "whole-steps" searches what other engines run alone, see
            :func:`~ecad_automl.engines.export_for`: by one mask for a run, each step computed whole or its first block
            alone; by default everything, or what the study began with.
        fit: whether what the scheduler is given is fitted under each candidate, to the uncached runs of four further
            images, see :mod:`ecad_automl.runtime.fitted`; by default wherever that can be done, or what the study began
            with.
        race: whether to stop candidates that promise little after the most telling images; by default they are.
        surrogate: whether the surrogate chooses candidates; by default it does.
        seed: of the search; by default that of the config, or 0.
        revision: of a hub model by name, as are the following four of a model by name alone.
        dtype: "float32", "float16" or "bfloat16"; by default what suits the device.
        device: torch device, such as "cuda:0"; by default CUDA where there is one.
        offload: what of the pipeline is on a GPU at a time: "model", "group" or "sequential", see
            :func:`~ecad_automl.load_model`; by default all of it.
        scheduler: class of diffusers' schedulers; by default the model's own.
        steps: denoising steps; by default as the pipeline is commonly called, as are the following three.
        guidance_scale: guidance.
        height: pixels.
        width: pixels.
        batch_size: images per pipeline call; by default 8.
        init: other studies (``FILE.db`` or ``FILE.db#STUDY``), schedule files or folders of such to start from.
        init_limit: schedules to take over from them at most; by default 24.
        progress: whether to show how it goes. Without, what the user should know is logged as warnings.
        config: all further settings of the search, in place of those of a preset; or a TOML file of settings.
        execution: where candidates are evaluated, if not in this process. Workers elsewhere load the model and the
            reward by name, so they must be given so.
        executor: "local", "processes" or "ray", in place of an execution, as are the following five.
        workers: candidates evaluated at a time; by default 1.
        address: of a running Ray cluster.
        gpus_per_worker: GPUs of each worker of Ray.
        evaluation_timeout: seconds that a worker may take over a candidate.
        asynchronous: whether candidates are proposed as results arrive, or each generation is finished first; by
            default they are.
        wait: what to do while another search runs on the same file, or on the same study of a server: refuse, wait as
            long as it takes, or wait so many seconds at most.
        backup_every: generations between two backups of the study file, ``FILE.backup``; 0 makes none, by default 1.

    Returns:
        The front of the study.

    Raises:
        EcadError: of the kind that says what is wrong: there is no such preset, the model is not supported, prompts
            cannot be read, the reward is none or fails candidate after candidate, the study was begun with something
            else, ...
        KeyboardInterrupt: the user stopped it.
    """
    job, console = _job(dict(locals()))
    announce(job, console)
    with _quiet_optuna():
        say(console, outcome(run_with_status(job, console, "call")))
    return Front.load(job.storage, job.study)


def estimate(*arguments: Any, **options: Any) -> Price:
    """What a search takes: images, and hours and memory from two timed calls; nothing is written.

    Args:
        arguments: those of :func:`search`.
        options: likewise.

    Raises:
        EcadError: what is asked for cannot be searched, see :func:`search`.
    """
    call = inspect.signature(search).bind(*arguments, **options)
    call.apply_defaults()
    return price_of(_job(call.arguments)[0])


def _job(call: Mapping[str, Any]) -> tuple[SearchJob, Console]:
    """What the arguments of :func:`search` ask for."""
    given, prompts, calls, reward = call["pipe_or_model"], call["prompts"], call["calls"], call["reward"]
    named = given is None or isinstance(given, str | Path)
    if not named and (asked := [name for name in _OF_THE_NAME if call[name] is not None]):
        raise OptionError(
            f"A pipeline was given with {', '.join(asked)}, which are for a model by name; set them on the pipeline."
        )
    if calls is not None:
        given, prompts, reward = _called(call)
    as_objects = {
        "prompts": str(prompts) if isinstance(prompts, str | Path) else None,
        "reward": reward if isinstance(reward, str) else None,
        "storage": None if call["storage"] is None else str(call["storage"]),
        "constraint": list(map(str, _several(call["constraints"]))),
        "init": list(map(str, _several(call["init"]))),
    }
    faults = Faults()
    plain = {name: value for name, value in call.items() if name not in _OBJECTS and value is not None}
    settings = SearchFile.from_options(
        {
            **preset_options(call["preset"]),
            **_config(call["config"]),
            **(asdict(call["execution"]) if call["execution"] else {}),
            **_cost(call["cost"]),
            **({"model": str(given)} if named and given is not None else {}),
            **plain,
            **{name: value for name, value in as_objects.items() if value is not None},
        },
        faults,
    )
    said = settings.options()
    if prompts is None and "prompts" not in said:
        faults.add(
            PromptError("There are no prompts to search on; give a list of texts, the name of a set, or a preset.")
        )
    if given is None and "model" not in said:
        faults.add(
            UnsupportedModelError(
                "There is no model to search; give a diffusers pipeline, the name of one, or a preset."
            )
        )
    console, wait = PlainConsole(quiet=not call["progress"]), call["wait"]
    job = search_job(
        settings,
        console,
        model=None if named else given,
        prompts=None if prompts is None or as_objects["prompts"] else _prompts(prompts, console),
        reward=None if reward is None or as_objects["reward"] else as_reward(reward),
        wait=math.inf if wait is True else float(wait),
        faults=faults,
    )
    return job, console


def _called(call: Mapping[str, Any]) -> tuple[LoadedModel, PromptSet, Any]:
    """The model with its calls, names of these, and the reward."""
    from ecad_automl.api.given_model import as_model

    given, reward = call["pipe_or_model"], call["reward"]
    if given is None or isinstance(given, str | Path):
        raise OptionError("Calls are of a pipeline; give one that is loaded in place of its name.")
    if asked := [name for name in _OF_PROMPTS if call[name] is not None]:
        raise OptionError(f"Calls were given with {', '.join(asked)}, which are for prompts; say it in the calls.")
    model = as_model(given, call["calls"])
    assert model.calls is not None
    if reward is None and not all(model.calls.texts):
        reward = "fidelity"
    names = model.calls.names
    return model, PromptSet("calls", names, (None,) * len(names), "calls"), reward


def _several(given: Any) -> Iterable[Any]:
    return [given] if isinstance(given, str | Path) else given


def _config(config: SearchConfig | str | Path | None) -> dict[str, Any]:
    if config is None:
        return {}
    return asdict(config) if isinstance(config, SearchConfig) else read_search_file(config).options()


def _cost(cost: str | LatencySettings) -> dict[str, Any]:
    if not isinstance(cost, LatencySettings):
        return {} if cost == "gmacs" else {"cost": cost}
    return {"cost": "latency", "latency_batch_size": cost.batch_size, "latency_schedules": cost.schedules}


def _prompts(given: Any, console: Console) -> PromptSet:
    if isinstance(given, PromptSet):
        return given
    if not isinstance(given, Iterable):
        raise PromptError(
            f"The prompts are a {type(given).__name__}, but a list of texts, a prompt set, or the name of a file, data "
            "set or published set is expected."
        )
    chosen = collect("prompts", "the list of prompts", [(prompt, None) for prompt in given])
    for note in chosen.notes:
        warn(console, note)
    return chosen


@contextmanager
def _quiet_optuna() -> Iterator[None]:
    """For a while, no line of Optuna's for each trial."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(max(before, optuna.logging.WARNING))
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)
