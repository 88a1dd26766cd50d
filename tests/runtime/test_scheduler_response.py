from __future__ import annotations

from typing import Any

import diffusers
import numpy as np
import pytest
from numpy.testing import assert_allclose

from ecad_automl.errors import EvaluationError
from ecad_automl.runtime.scheduler_response import scheduler_response


def ask(count: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return (count,), {}


def test_euler_on_flow_moves_the_image_by_its_step_over_the_signal_there_is() -> None:
    scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0)
    scheduler.set_timesteps(6)
    sigma = scheduler.sigmas.double().numpy()
    expected = np.abs(np.diff(sigma)) / (1 - sigma[1:])
    assert_allclose(scheduler_response(scheduler, 6, ask(6)), expected, rtol=1e-4)


def test_ddim_carries_errors_on_as_its_formula_says() -> None:
    scheduler = diffusers.DDIMScheduler(clip_sample=False, timestep_spacing="trailing")
    scheduler.set_timesteps(5)
    alpha = scheduler.alphas_cumprod.double().numpy()
    at = scheduler.timesteps.numpy()
    after = at - 1000 // 5
    kept = np.array([alpha[t] if t >= 0 else float(scheduler.final_alpha_cumprod) for t in after])
    # x' = sqrt(a'/a) x + (sqrt(1 - a') - sqrt(a' (1 - a) / a)) e, equation 12 of DDIM without noise
    grows, takes = np.sqrt(kept / alpha[at]), np.sqrt(1 - kept) - np.sqrt(kept * (1 - alpha[at]) / alpha[at])
    grows = grows + takes * np.sqrt(1 - alpha[at])  # e = s x is the best guess for latents of variance 1
    expected = [abs(takes[step]) * np.prod(grows[step + 1 :]) for step in range(5)]
    assert_allclose(scheduler_response(scheduler, 5, ask(5)), expected, rtol=1e-4)


@pytest.mark.parametrize("kind", ["sample", "v_prediction"])
def test_an_error_of_the_clean_image_weighs_the_same_whatever_the_transformer_predicts(kind: str) -> None:
    """An image that is off by d is noise that is off by -a/s d, and velocity by -d/s."""

    def response(prediction: str) -> np.ndarray:
        scheduler = diffusers.DDIMScheduler(clip_sample=False, timestep_spacing="trailing", prediction_type=prediction)
        return scheduler_response(scheduler, 5, ask(5))

    scheduler = diffusers.DDIMScheduler(timestep_spacing="trailing")
    scheduler.set_timesteps(5)
    alpha = scheduler.alphas_cumprod.double().numpy()[scheduler.timesteps.numpy()]
    a, s = np.sqrt(alpha), np.sqrt(1 - alpha)
    of_image = {"epsilon": -a / s, "sample": np.ones(5), "v_prediction": -1 / s}
    found = response(kind) * np.abs(of_image[kind])
    assert_allclose(found[:-1], (response("epsilon") * np.abs(of_image["epsilon"]))[:-1], rtol=1e-3)


@pytest.mark.parametrize(
    "name",
    [
        "DPMSolverMultistepScheduler",
        "EulerDiscreteScheduler",
        "EulerAncestralDiscreteScheduler",
        "UniPCMultistepScheduler",
        "PNDMScheduler",
        "DDPMScheduler",
        "HeunDiscreteScheduler",
        "LCMScheduler",
    ],
)
def test_the_samplers_of_diffusers_have_a_response_and_stay_as_they_are(name: str) -> None:
    scheduler = getattr(diffusers, name)()
    scheduler.set_timesteps(8)
    timesteps = scheduler.timesteps.clone()
    forwards = len(timesteps)
    response = scheduler_response(scheduler, forwards, ask(8))
    assert response is not None
    assert response.shape == (forwards,)
    assert (response >= 0).all()
    assert (scheduler.timesteps == timesteps).all()
    assert getattr(scheduler, "_step_index", None) is None


def test_a_scheduler_that_cannot_be_run_alone_is_named_with_the_reason() -> None:
    with pytest.raises(
        EvaluationError, match=r"object cannot be run without its pipeline \(AttributeError: .*timesteps"
    ):
        scheduler_response(object(), 4, ask(4))
    with pytest.raises(EvaluationError, match=r"CogVideoXDPMScheduler .*\(TypeError: .*timestep_back"):
        scheduler_response(diffusers.CogVideoXDPMScheduler(), 4, ask(4))


def test_other_faults_of_a_scheduler_are_not_hidden() -> None:
    class Broken:
        def set_timesteps(self, *_: Any, **__: Any) -> None:
            raise MemoryError

    with pytest.raises(MemoryError):
        scheduler_response(Broken(), 4, ask(4))


def test_a_scheduler_that_moves_nothing_has_no_response() -> None:
    class Still(diffusers.DDIMScheduler):
        def step(self, _output: Any, _timestep: Any, sample: Any, **_: Any) -> tuple[Any]:
            return (sample,)

    with pytest.raises(EvaluationError, match="Still moves the latents by nothing"):
        scheduler_response(Still(), 4, ask(4))
