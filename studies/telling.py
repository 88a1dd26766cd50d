"""Writing an evaluated candidate into its trial, and telling Optuna."""

from __future__ import annotations

from optuna.study import Study
from optuna.trial import TrialState

from storage import EvaluationRecord
from studies import attributes
from studies.bounds import Bounds
from studies.cost import LATENCY_MS, Cost
from studies.flight import Flight

__all__ = ["tell"]


def tell(
    study: Study, flight: Flight, record: EvaluationRecord, share: float, bounds: Bounds, cost: Cost, steps: int
) -> None:
    """Finish the trial of a candidate; Optuna takes no attributes after it.

    Args:
        study: the study.
        flight: the candidate.
        record: what the store keeps of it.
        share: of the images that were made.
        bounds: the constraints of the study.
        cost: what it minimizes.
        steps: denoising steps.
    """
    trial, schedule = flight.trial, flight.schedule
    if attributes.GENERATION not in flight.frozen.user_attrs:  # a seed
        trial.set_user_attr(attributes.GENERATION, flight.generation)
        trial.set_user_attr(attributes.SPEEDUP, round(schedule.mac_speedup, 4))
        trial.set_user_attr(attributes.MAC_FRACTION, round(schedule.mac_fraction, 6))
    values = [record.reward, flight.cost]
    if not record.complete:
        trial.set_user_attr(attributes.EXPECTED_VALUES, values)
        trial.set_user_attr(attributes.IMAGE_SHARE, share)
    predicted = flight.frozen.user_attrs.get(attributes.PREDICTED_REWARD)
    if record.complete and predicted is not None:
        trial.set_user_attr(attributes.PREDICTION_ERROR, round(record.reward - predicted, 6))
    trial.set_user_attr(attributes.DIFFERENCE, -record.reward_drop)
    trial.set_user_attr(attributes.DIFFERENCE_ERROR, record.reward_drop_se)
    trial.set_user_attr(attributes.SECONDS, round(record.seconds, 3))
    if cost.name == LATENCY_MS:
        trial.set_user_attr(attributes.LATENCY_SPEEDUP, round(cost.of_steps(steps) / flight.cost, 4))
    bounds.write(trial, record)
    if record.complete:
        study.tell(trial, values)
    else:
        study.tell(trial, state=TrialState.PRUNED)
