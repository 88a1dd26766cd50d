"""One way from the settings of a search, and what else it was given, to the search: for the command and for Python."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from ecad_automl.api.faults import Faults
from ecad_automl.api.prompts import choose_prompts, split_record
from ecad_automl.api.settings import DTYPES, SearchFile
from ecad_automl.api.terminal import say, warn
from ecad_automl.bundled import BUNDLED
from ecad_automl.errors import OptionError, PromptError
from ecad_automl.execution.settings import Execution
from ecad_automl.rewards import parse_constraint
from ecad_automl.wording import option
from storage import redacted
from studies.config import SearchConfig

if TYPE_CHECKING:
    from ecad_automl.models import LoadedModel
    from ecad_automl.prompts import PromptSet
    from ecad_automl.rewards import Constraint, PairedReward, Reward
    from studies import SearchJob
    from studies.warm_start import Source

_LOGGER = logging.getLogger("ecad_automl.api")

#: From so many images on, it is worth two calls to know how long they take.
_MANY_IMAGES = 2000
#: Prompts that come with a bundled model.
_BUNDLED_PROMPTS = 24


def search_job(
    settings: SearchFile,
    console: Console,
    *,
    model: Any = None,
    prompts: PromptSet | None = None,
    reward: Reward | PairedReward | None = None,
    wait: float = 0.0,
    faults: Faults | None = None,
) -> SearchJob:
    """What to search for; the model and the rewards are loaded last.

    A model (a pipeline or a loaded one), prompts and a reward stand in place of those that the settings name; ``wait``
    is for how many seconds at most another search on the same file is waited for, and ``faults`` has what is known to
    be wrong with the settings, told with what is found here.

    Raises:
        EcadError: of the kind that says what is wrong.
    """
    asked, split, faults = settings.prompts, None, faults or Faults()
    with faults.noted():
        config = _config(settings)
    with faults.noted():
        execution = settings.build(Execution)
        execution.check_installed()
    with faults.noted():
        latency = settings.latency()
        _check_latency(settings)
    bounds: list[Constraint] = []
    for text in settings.reward.constraint or []:
        with faults.noted():
            bounds.append(parse_constraint(text))
    faults.rewards([*filter(None, [None if reward else settings.reward.reward]), *(bound.metric for bound in bounds)])
    faults.storage(settings.search.storage)
    if model is None:
        of = settings.model
        faults.model(of.model, dtype=of.dtype, device=of.device, offload=of.offload)
    with faults.noted():
        chosen = prompts or choose_prompts(
            console,
            settings.model.model,
            *(asked.prompts, asked.column, asked.split, asked.limit),
            bundled="calibration",
            count=_BUNDLED_PROMPTS,
        )
    faults.tell()
    if asked.calibration_prompts is not None:
        from ecad_automl.prompts import split_prompts

        if asked.prompts is None:
            raise PromptError(
                "Only prompts that are named, as a file or a data set, can be split into those of the search and those "
                "of its confirmation; leave the number of calibration prompts out, or name the prompts."
            )
        parts = split_prompts(chosen, asked.calibration_prompts)
        chosen, split = parts.calibration, split_record(parts, asked.prompts, asked.column, asked.split, asked.limit)
    if model is not None:
        from ecad_automl.api.given_model import as_model

        model = as_model(model)
    name = settings.search.study or Path(_model_name(settings, model)).name
    sources = _sources(settings.search.init or [], settings.search.storage, name, console)
    with console.status("Loading the model ..."):
        from ecad_automl.api.rewards import as_reward
        from ecad_automl.rewards import load_reward
        from studies import SearchJob

        # Of a name, workers load the reward too.
        named = None if reward is not None else settings.reward.reward or default_reward(_model_name(settings, model))
        scorer = reward or as_reward(named, settings.model.device)
        constraints = [(bound, load_reward(bound.metric, device=settings.model.device)) for bound in bounds]
        loaded = _loaded(settings, model)
    job = SearchJob(
        loaded,
        list(chosen.prompts),
        scorer,
        settings.search.storage,
        name,
        tuple(range(asked.images_per_prompt)),
        settings.search.batch_size,
        config,
        latency,
        init=sources,
        init_limit=settings.search.init_limit,
        constraints=constraints,
        prompt_split=split,
        wait=wait,
        backup_every=settings.search.backup_every,
        execution=execution,
        use=settings.search.use,
        guidance=settings.search.guidance,
        deploy=settings.search.deploy,
        fit=settings.search.fit,
        reward_given=named,
    )
    resolved = _resolved(settings, job, given=[name for name, one in (("prompts", prompts), ("model", model)) if one])
    _LOGGER.info("settings: %s", resolved.to_dict())
    return replace(job, settings=resolved.to_bytes())


def announce(job: SearchJob, console: Console) -> None:
    """Say what begins, and what it takes; where that is much, two calls are timed to say how long.

    Raises:
        EcadError: see :func:`~ecad_automl.api.price.price_of`.
    """
    from ecad_automl.api.price import price_of
    from studies.warm_start import has_started

    say(console, announcement(job), keep=[redacted(job.storage)])
    if has_started(job.storage, job.study):
        return
    price = price_of(job, timed=False)
    if price.images > _MANY_IMAGES:
        with console.status("Timing two calls ..."):
            price = price_of(job)
    say(console, price.line)


def announcement(job: SearchJob) -> str:
    """One line on a search that begins."""
    what = "calls" if job.model.calls else "prompts"
    return (
        f"Study {job.study} in {redacted(job.storage)}: {len(job.prompts)} {what} x {len(job.seeds)} images, "
        f"{job.model.settings.steps} steps, reward {job.reward.name}, cost {'latency' if job.latency else 'gmacs'}, "
        f"{job.config.evaluations} evaluations."
    )


def _config(settings: SearchFile) -> SearchConfig:
    config = settings.build(SearchConfig)
    if not settings.search.fixed_steps:
        return config
    if config.steps_from not in (None, 1.0):
        raise OptionError(
            f"Fixed steps were asked for, and runs from a share of {config.steps_from:g} of the steps; leave out one."
        )
    return replace(config, steps_from=1.0)


def _check_latency(settings: SearchFile) -> None:
    share = 1.0 if settings.search.fixed_steps else settings.search.steps_from
    if settings.reward.cost == "latency" and share not in (None, 1.0):
        raise OptionError(
            f"Shorter runs are searched by MACs alone; leave out either {option('steps_from')} or {option('cost')} "
            "latency."
        )


def default_reward(model: str) -> str:
    """What searches of a model go by where nobody says: that of a bundled model, else "fidelity"."""
    bundled = BUNDLED.get(model)
    return "fidelity" if bundled is None else bundled.reward


def _model_name(settings: SearchFile, given: LoadedModel | None) -> str:
    return settings.model.model if given is None else given.name


def _loaded(settings: SearchFile, given: LoadedModel | None) -> LoadedModel:
    """The model, called as the settings say; one in memory keeps its scheduler."""
    asked = settings.model
    if given is None:
        from ecad_automl.models import load_model

        given = load_model(
            asked.model, revision=asked.revision, dtype=asked.dtype, device=asked.device, offload=asked.offload
        )
        given = given.with_scheduler(asked.scheduler)
    return given.with_settings(
        steps=asked.steps, guidance_scale=asked.guidance_scale, height=asked.height, width=asked.width
    )


def _sources(init: Sequence[str], storage: str, study: str, console: Console) -> list[Source]:
    """What a study is to start from; nothing is read once it has begun, so the sources need not be there any more.

    Raises:
        EcadError: a source has nothing of use.
    """
    if not init:
        return []
    from studies.warm_start import has_started, read_source

    if has_started(storage, study):
        say(
            console,
            f"The study {study!r} has begun; {option('init')} counts only when it begins, and is not read again.",
        )
        return []
    sources = [read_source(location) for location in init]
    for source in sources:
        evaluated = f", and {len(source.evaluated)} evaluations to learn from" if source.evaluated else ""
        say(console, f"Starting from {source.name}: {len(source.seeds)} schedules{evaluated}.", keep=[source.name])
        for note in source.notes:
            warn(console, note)
    return sources


def _resolved(settings: SearchFile, job: SearchJob, given: Sequence[str]) -> SearchFile:
    """All settings, defaults included, as far as they have a form in a file, to be kept in the study.

    What they say of "prompts" or a "model" that was ``given`` as an object was not used.
    """
    generation, dtype = job.model.settings, str(job.model.pipe.transformer.dtype).removeprefix("torch.")
    unused = [
        *(("prompts", "column", "split", "limit") if "prompts" in given else ()),
        *(("revision", "scheduler") if "model" in given else ()),
        *(() if job.latency else ("latency_batch_size", "latency_schedules")),
    ]
    return SearchFile.from_options(
        {
            **settings.values(),
            "model": job.model.name,
            "dtype": dtype if dtype in DTYPES else None,
            "steps": generation.steps,
            "guidance_scale": generation.guidance_scale,
            "height": generation.height,
            "width": generation.width,
            "reward": job.reward_given or job.reward.name,
            "study": job.study,
            # The URL of a database may have a password.
            "storage": redacted(job.storage),
            "init": [redacted(source) for source in settings.search.init or []],
            **dict.fromkeys(unused),
        }
    )
