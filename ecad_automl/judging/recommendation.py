"""Which schedule of a front to take unless one knows better, by a rule that can be said in a line. Imports no torch.

It is the largest saving whose difference to the uncached run is within its 95 % interval, of unseen prompts where these
were asked. In a study with constraints it is the largest saving that keeps them. Rewards that compare with the uncached
image itself tell every schedule from it; there it is the largest saving that is not told from the mildest run of fewer
steps.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

#: What an unscored schedule may be expected to err at most, see ``predicted_error`` of a quick front. On ``shapes``
#: what errs so much is about as far from the uncached image as a run with four steps in five.
MOST_ERROR = 0.05


@dataclass(frozen=True)
class Scored:
    """What a rule knows of a schedule or a run of fewer steps.

    Args:
        name: of it, for people.
        speedup: how many times cheaper than the uncached run.
        difference: mean paired difference of the reward to the uncached run.
        half: half width of its 95 % interval; None where there is none.
    """

    name: str
    speedup: float
    difference: float
    half: float | None = None

    def reaches(self, difference: float) -> bool:
        """Whether its interval does, so that it is not told to be below that."""
        return self.difference + (self.half or 0.0) >= difference


@dataclass(frozen=True)
class Recommendation:
    """What to take, and why.

    Args:
        index: of the schedule among those that were given.
        words: such as ``2.46x: nothing cheaper is as good; beats 8 steps``.
    """

    index: int
    words: str


def recommend(
    front: Sequence[Scored], shorter: Sequence[Scored] = (), constraints: Sequence[str] = ()
) -> Recommendation | None:
    """The schedule that the rule of this module chooses.

    Args:
        front: schedules that no other one beats, in any order; of studies with constraints, such as keep them.
        shorter: uncached runs of fewer steps.
        constraints: of the study, for people.

    Returns:
        None where the front is empty.
    """
    saving = [index for index, run in enumerate(front) if run.speedup > 1]
    if not front:
        return None
    if not saving:
        best = _best(front, range(len(front)))
        return Recommendation(best, f"{front[best].speedup:.2f}x: nothing on the front saves anything")
    good, why = saving, f"nothing cheaper keeps {', '.join(constraints)}"
    if not constraints:
        good, why = [index for index in saving if front[index].reaches(0.0)], "nothing cheaper is as good"
        mildest = min((run for run in shorter if run.speedup > 1), key=lambda run: run.speedup, default=None)
        if not good and mildest is not None:
            good = [index for index in saving if front[index].reaches(mildest.difference)]
            why = f"nothing cheaper is as close to uncached as {mildest.name}"
    if good:
        chosen = max(good, key=lambda index: front[index].speedup)
    else:
        chosen, why = _best(front, saving), "nothing else loses as little, but the loss shows"
    found = front[chosen]
    return Recommendation(chosen, f"{found.speedup:.2f}x: {why}{_beside_fewer_steps(found, shorter)}")


def recommend_unscored(speedups: Sequence[float], errors: Sequence[float]) -> Recommendation | None:
    """The largest saving of which an error of at most :data:`MOST_ERROR` is expected, else the least error.

    Args:
        speedups: of schedules of which no image was made.
        errors: what is expected of them.

    Returns:
        None where there are no schedules.
    """
    if not speedups:
        return None
    good = [index for index, error in enumerate(errors) if error <= MOST_ERROR]
    if good:
        chosen = max(good, key=lambda index: speedups[index])
        why = f"the largest saving with an expected error of at most {MOST_ERROR:g}"
    else:
        chosen = min(range(len(errors)), key=lambda index: errors[index])
        why = f"the least expected error, {errors[chosen]:.2g}"
    return Recommendation(chosen, f"{speedups[chosen]:.2f}x: {why}; no image was made under it yet")


def _best(front: Sequence[Scored], among: Sequence[int]) -> int:
    return max(among, key=lambda index: front[index].difference)


def _beside_fewer_steps(found: Scored, shorter: Sequence[Scored]) -> str:
    """How it stands beside the run of fewer steps that saves nearly as much; nothing where there is none."""
    dearer = [run for run in shorter if 1 < run.speedup <= found.speedup]
    if not dearer:
        return ""
    rival = max(dearer, key=lambda run: run.speedup)
    return f"; {'beats' if found.difference > rival.difference else 'no better than'} {rival.name}"
