"""Trials that a crash has left behind."""

from __future__ import annotations

from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from studies import attributes


def release_stale(study: Study) -> int:
    """Fail the trials that an earlier process left running, and queue seeds among them again.

    Call it before a study goes on, and only while no other process works on it: their trials look the same.

    Args:
        study: bred by a sampler of genomes.

    Returns:
        How many there were.
    """
    stale = study.get_trials(deepcopy=False, states=[TrialState.RUNNING])
    for trial in stale:
        release(study, trial)
    return len(stale)


def release(study: Study, trial: FrozenTrial) -> None:
    """Fail a trial that was cut off, so that its genome can be asked again."""
    # A kill may have come when it was marked, and not told yet: what waits in its place was not interrupted.
    kept = {name: value for name, value in trial.user_attrs.items() if name != attributes.INTERRUPTED}
    # Optuna writes attributes through its handle of a trial alone, which ended with the process that asked.
    study._storage.set_trial_user_attr(trial._trial_id, attributes.INTERRUPTED, True)
    study.tell(trial.number, state=TrialState.FAIL)
    if kept.get(attributes.ORIGIN, "bred") != "bred":
        study.enqueue_trial({}, user_attrs=kept)
