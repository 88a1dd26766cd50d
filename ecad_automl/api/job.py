"""One way from what a user asked for to a search: for the command line and for Python."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ecad_automl.api.settings import MethodTable, SearchFile
from storage import shown

if TYPE_CHECKING:
    from studies import SearchJob

__all__ = ["announcement", "keep_settings"]

_LOGGER = logging.getLogger("ecad_automl.api")


def keep_settings(job: SearchJob, said: Mapping[str, Any]) -> SearchJob:
    """The job with its settings, defaults included, as far as they have a form in a file, to be kept in the study.

    Args:
        job: what is searched for.
        said: what only the caller knows, by the names of options: what prompts, reward and sources were called.

    Raises:
        StudyError: a value is out of range.
    """
    generation, config, latency = job.model.settings, job.config, job.latency
    dtype = str(job.model.pipe.transformer.dtype).removeprefix("torch.")
    options = {
        "model": job.model.name,
        "dtype": dtype if dtype in ("float32", "float16", "bfloat16") else None,
        "steps": generation.steps,
        "guidance_scale": generation.guidance_scale,
        "height": generation.height,
        "width": generation.width,
        "images_per_prompt": len(job.seeds),
        "constraint": [str(constraint) for constraint, _ in job.constraints],
        "cost": _cost(job),
        "latency_batch_size": latency.batch_size if latency else None,
        "latency_schedules": latency.schedules if latency else None,
        "storage": shown(job.storage),
        "study": job.study,
        "evaluations": config.evaluations,
        "population": config.population,
        "offspring": config.offspring,
        "init_limit": job.init_limit,
        "batch_size": job.batch_size,
        "seed": config.seed,
        "heuristics": config.heuristics,
        "race": config.race > 0,
        "surrogate": config.surrogate,
        "backup_every": job.backup_every,
        "executor": job.execution.executor,
        "workers": job.execution.workers,
        "address": job.execution.address,
        "gpus_per_worker": job.execution.gpus_per_worker,
        "evaluation_timeout": job.execution.evaluation_timeout,
        "asynchronous": config.asynchronous,
    }
    # The URL of a database may have a password.
    sources = {"init": [shown(source) for source in said.get("init") or []]}
    resolved = SearchFile.from_options({**options, **said, **sources}, MethodTable.from_config(config))
    _LOGGER.info("settings: %s", resolved.to_dict())
    return replace(job, settings=resolved.to_bytes())


def announcement(job: SearchJob) -> str:
    """One line on a search that begins."""
    return (
        f"Study {job.study} in {shown(job.storage)}: {len(job.prompts)} prompts x {len(job.seeds)} images, "
        f"{job.model.settings.steps} steps, reward {job.reward.name}, cost {_cost(job)}, "
        f"{job.config.evaluations} evaluations."
    )


def _cost(job: SearchJob) -> str:
    return "latency" if job.latency else "gmacs"
