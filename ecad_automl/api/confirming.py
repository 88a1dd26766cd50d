"""A front on prompts or calls that the search never saw, from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ecad_automl.api.given_model import as_model
from ecad_automl.api.live import LiveProgress
from ecad_automl.api.rewards import as_reward
from ecad_automl.api.terminal import PlainConsole
from ecad_automl.errors import OptionError
from ecad_automl.models import load_model
from studies.confirmation.run import ConfirmationJob, run_confirmation

if TYPE_CHECKING:
    from ecad_automl.rewards import PairedReward, Reward


def confirm_study(
    storage: str | Path,
    study: str,
    identity: Mapping[str, Any],
    given: Any,
    prompts: Sequence[str] | None,
    *,
    calls: Sequence[Mapping[str, Any]] | None,
    seeds: Sequence[int],
    reward: str | Reward | PairedReward | Any,
    baselines: bool,
    batch_size: int,
    progress: bool,
) -> None:
    """See :meth:`~ecad_automl.api.Front.confirm`."""
    if (prompts is None) == (calls is None) or ("calls" in identity) != (calls is not None):
        kind = "calls" if "calls" in identity else "prompts"
        raise OptionError(f"The study {study!r} was searched with {kind}; give {kind} that it did not use.")
    model = as_model(load_model(str(given)) if isinstance(given, str | Path) else given, calls)
    if model.calls is None:
        model = model.with_scheduler(identity["scheduler"]).with_settings(**identity["generation"])
    texts = list(prompts or ()) if model.calls is None else list(model.calls.names)
    job = ConfirmationJob(storage, study, texts, list(seeds), baselines, batch_size)
    with LiveProgress(PlainConsole(quiet=not progress)) as live:
        run_confirmation(job, model, as_reward(reward), live)
