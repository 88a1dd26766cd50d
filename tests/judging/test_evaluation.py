from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch

from ecad_automl.errors import EvaluationError, PromptError, RewardError
from ecad_automl.judging.evaluation import Evaluator, judged
from ecad_automl.models import model_layout
from ecad_automl.prompts.checking import check_prompts
from ecad_automl.rewards import load_reward
from ecad_automl.runtime.state import ModuleState
from ecad_automl.schedules.schedule import Schedule

PROMPTS = ["a large solid red circle", "a small hollow blue square", "a cross"]


class Brightness:
    name = "brightness"

    def score(self, images: torch.Tensor, prompts: Sequence[str]) -> Any:
        return images.double().mean(dim=(1, 2, 3)).numpy()


def evaluator(model: Any, **changes: Any) -> Evaluator:
    arguments = {"prompts": PROMPTS, "seeds": [0, 1], "reward": Brightness(), "batch_size": 4, **changes}
    return Evaluator(model.pipe, settings=model.settings, **arguments)


def half_reused(model: Any) -> Schedule:
    layout = model_layout(model)
    bits = np.zeros((model.settings.steps, len(layout)), dtype=bool)
    bits[::2] = True
    return Schedule(layout, bits)


def test_all_compute_images_are_the_uncached_ones_and_have_no_difference(any_tiny_model: Any) -> None:
    runner = evaluator(any_tiny_model)
    schedule = Schedule.all_compute(model_layout(any_tiny_model), any_tiny_model.settings.steps)
    assert torch.equal(runner.generate(schedule), runner.reference_images)
    found = runner.evaluate(schedule)
    assert found.difference.mean == 0
    assert found.difference.standard_error == 0
    assert found.reward == runner.baseline().reward


def test_images_are_those_of_a_plain_pipeline_call(any_tiny_model: Any) -> None:
    runner = evaluator(any_tiny_model, seeds=[5], batch_size=1)
    expected = any_tiny_model.pipe(
        PROMPTS[1],
        **any_tiny_model.settings.call_arguments(),
        generator=torch.Generator().manual_seed(5),
        output_type="pt",
    ).images
    assert torch.equal(runner.reference_images[1:2], expected)


def test_evaluation_is_deterministic_and_scores_are_by_prompt_and_seed(tiny_model: Any) -> None:
    runner = evaluator(tiny_model)
    schedule = half_reused(tiny_model)
    first, second = runner.evaluate(schedule), runner.evaluate(schedule)
    assert np.array_equal(first.scores, second.scores)
    assert first.scores.shape == (3, 2)
    assert first.scores.ravel() == pytest.approx(runner.generate(schedule).double().mean(dim=(1, 2, 3)).numpy())


def test_every_family_is_worse_for_reuse_and_cheaper(any_tiny_model: Any) -> None:
    runner = evaluator(any_tiny_model, reward=load_reward("fidelity"))
    found = runner.evaluate(half_reused(any_tiny_model))
    assert found.reward < runner.baseline().reward
    assert half_reused(any_tiny_model).mac_speedup > 1.5


def test_the_batch_size_hardly_changes_images(tiny_model: Any) -> None:
    schedule = half_reused(tiny_model)
    one = evaluator(tiny_model, batch_size=1).generate(schedule)
    six = evaluator(tiny_model, batch_size=6).generate(schedule)
    assert torch.allclose(one, six, atol=1e-4)


def test_a_schedule_changes_images_and_leaves_the_pipeline_as_it_was(tiny_model: Any) -> None:
    runner = evaluator(tiny_model)
    cached = runner.generate(half_reused(tiny_model))
    assert not torch.equal(cached, runner.reference_images)
    assert torch.equal(runner.generate(None), runner.reference_images)


def test_fewer_steps_are_another_uncached_run(tiny_model: Any) -> None:
    runner = evaluator(tiny_model)
    assert runner.evaluate_steps(tiny_model.settings.steps).difference.mean == 0
    assert runner.evaluate_steps(2).difference.mean != 0


def test_paired_rewards_see_the_uncached_images(tiny_model: Any) -> None:
    runner = evaluator(tiny_model, reward=load_reward("fidelity"))
    assert runner.baseline().reward == 0
    found = runner.evaluate(half_reused(tiny_model))
    assert found.reward < 0
    assert found.difference.mean == pytest.approx(found.reward)


def test_guidance_off_works(tiny_model: Any) -> None:
    runner = evaluator(tiny_model.with_settings(guidance_scale=1.0))
    assert runner.reference_images.shape == (6, 3, 16, 16)


def test_embeddings_are_computed_once(tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    runner = evaluator(tiny_model)

    def forbidden(*_: object, **__: object) -> None:
        raise AssertionError("the text encoder ran again")

    monkeypatch.setattr(tiny_model.pipe.text_encoder, "forward", forbidden)
    runner.evaluate(half_reused(tiny_model))


def test_a_nan_reward_is_an_error_that_names_the_image(tiny_model: Any) -> None:
    class Broken(Brightness):
        def score(self, images: torch.Tensor, prompts: Sequence[str]) -> Any:
            return np.full(len(prompts), np.nan)

    with pytest.raises(RewardError, match="nan for image 0"):
        evaluator(tiny_model, reward=Broken()).baseline()


def test_nan_pixels_are_an_error(tiny_model: Any) -> None:
    with torch.no_grad():
        tiny_model.pipe.vae.decoder.conv_out.bias.fill_(float("nan"))
    with pytest.raises(EvaluationError, match="wider dtype"):
        evaluator(tiny_model).baseline()


def test_the_users_progress_bar_setting_comes_back(tiny_model: Any) -> None:
    tiny_model.pipe.set_progress_bar_config(desc="mine")
    evaluator(tiny_model).baseline()
    assert tiny_model.pipe._progress_bar_config == {"desc": "mine"}


@pytest.mark.parametrize(
    ("prompts", "message"),
    [([], "no prompts"), (["a", " "], "Prompt 2 of 2 is empty"), (["a", "b", " a "], "'a' occurs twice")],
)
def test_useless_prompts_are_refused(prompts: list[str], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        check_prompts(prompts)


@pytest.mark.parametrize(("changes", "message"), [({"seeds": []}, "at least one"), ({"batch_size": 0}, "is 0")])
def test_useless_settings_are_refused(tiny_model: Any, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        evaluator(tiny_model, **changes)


@pytest.mark.parametrize("reward", [Brightness(), load_reward("fidelity")])
def test_some_images_have_the_scores_that_they_have_among_all(tiny_model: Any, reward: Any) -> None:
    runner = evaluator(tiny_model, seeds=[3, 1, 2], reward=reward, batch_size=2)
    schedule = half_reused(tiny_model)
    at_once = runner.evaluate(schedule).scores.ravel()
    for images in ([7, 0, 4], [1, 2, 3, 5, 6, 8]):
        scores = runner.scores(schedule, images)
        assert list(scores) == [reward.name]
        assert np.allclose(scores[reward.name], at_once[images], atol=1e-4)


@pytest.mark.parametrize("reward", [Brightness(), load_reward("fidelity")])
def test_images_divided_where_a_batch_ends_have_the_same_scores_bit_for_bit(tiny_model: Any, reward: Any) -> None:
    schedule, order = half_reused(tiny_model), [5, 0, 3, 1, 4, 2]
    whole = evaluator(tiny_model, reward=reward, batch_size=2).scores(schedule, order)[reward.name]
    other = evaluator(tiny_model, reward=reward, batch_size=2)
    parts = [other.scores(schedule, part)[reward.name] for part in (order[4:], order[:4])]
    assert np.concatenate(parts[::-1]).tolist() == whole.tolist()


def test_scores_of_some_images_foretell_those_of_all_by_their_difference() -> None:
    uncached = np.array([[1.0, 2.0], [3.0, 5.0]])
    scores = np.array([[0.5, np.nan], [2.0, np.nan]])
    some = judged(scores, uncached, 1.0)
    assert not some.complete
    assert some.difference.mean == pytest.approx(-0.75)
    assert some.reward == pytest.approx(uncached.mean() - 0.75)
    whole = judged(uncached - 1, uncached, 1.0)
    assert whole.complete
    assert whole.reward == pytest.approx(uncached.mean() - 1)


def test_only_the_images_asked_for_are_made(tiny_model: Any) -> None:
    runner = evaluator(tiny_model, batch_size=3)
    runner.baseline()
    calls: list[int] = []
    counting = tiny_model.pipe.transformer.register_forward_pre_hook(lambda *_: calls.append(1))
    runner.scores(half_reused(tiny_model), [0, 2, 4])
    one = len(calls)
    runner.scores(half_reused(tiny_model), [0, 2, 4, 1, 3, 5])
    counting.remove()
    assert len(calls) == 3 * one


@pytest.mark.parametrize("images", [[], [0, 6], [-1], [2, 2]])
def test_images_that_do_not_exist_are_refused(tiny_model: Any, images: list[int]) -> None:
    with pytest.raises(EvaluationError, match="at least one of the 6, each once"):
        evaluator(tiny_model).scores(half_reused(tiny_model), images)


def test_batches_are_halved_until_they_fit_into_the_memory(tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import ecad_automl.judging.evaluation as module

    expected = evaluator(tiny_model, batch_size=1).scores(half_reused(tiny_model), range(6))["brightness"]
    real, sizes = module.generate_batch, []

    def small(pipe: Any, encoded: Any, seeds: Any, settings: Any) -> Any:
        sizes.append(len(encoded))
        if len(encoded) > 1:
            raise torch.OutOfMemoryError
        return real(pipe, encoded, seeds, settings)

    monkeypatch.setattr(module, "generate_batch", small)
    runner = evaluator(tiny_model, batch_size=4)
    scores = runner.scores(half_reused(tiny_model), range(6))["brightness"]
    assert sizes == [4, 2, 1, 1, 1, 1, 1, 1]
    assert np.allclose(scores, expected, atol=1e-4)
    assert ["2 images per call" in note for note in runner.notes] == [True, False]
    assert "1 images per call" in runner.notes[1]


def test_fewer_images_are_fitted_to_where_they_do_not_fit_into_the_memory(
    tiny_model: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import ecad_automl.judging.fits as module

    real, sizes, most = module.run_to_latents, [], [4]

    def small(pipe: Any, encoded: Any, seeds: Any, settings: Any) -> None:
        sizes.append(len(encoded))
        if len(encoded) > most[0]:
            raise torch.OutOfMemoryError
        real(pipe, encoded, seeds, settings)

    monkeypatch.setattr(module, "run_to_latents", small)
    runner = evaluator(tiny_model, batch_size=4)
    runner.path(half_reused(tiny_model).steps)
    most[0] = 2  # a schedule holds more than the uncached run
    fitted = runner.fitted(half_reused(tiny_model))
    assert sizes == [4, 4, 2, 2]
    assert fitted.fitted is not None and fitted == evaluator(tiny_model, batch_size=2).fitted(half_reused(tiny_model))


def test_a_device_too_small_for_one_image_is_named(tiny_model: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import ecad_automl.judging.evaluation as module

    def none(*_: Any) -> Any:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(module, "generate_batch", none)
    with pytest.raises(EvaluationError, match="Not even one image at a time fits"):
        evaluator(tiny_model).scores(half_reused(tiny_model), [0])


def test_schedules_share_their_first_steps_and_give_the_same_images(any_tiny_model: Any) -> None:
    schedule = half_reused(any_tiny_model)
    bits = schedule.compute.copy()
    bits[-1] = ~bits[-1]
    other = Schedule(schedule.layout, bits)
    sharing, plain = evaluator(any_tiny_model), evaluator(any_tiny_model, share_bytes=0)
    for each in (schedule, other):
        assert torch.equal(sharing.generate(each), plain.generate(each))
    found = sharing.sharing
    assert found.shared == found.calls // 2 - found.calls // (2 * schedule.steps)  # all steps but the last
    assert 0 < found.nbytes < 2**30
    assert plain.sharing.shared == plain.sharing.nbytes == 0


def test_the_model_is_looked_at_once_in_an_evaluation_and_again_in_the_next(tiny_model: Any) -> None:
    schedule, runner = half_reused(tiny_model), evaluator(tiny_model)
    with mock.patch("ecad_automl.runtime.prefixes.ModuleState", side_effect=ModuleState) as looked:
        before = runner.generate(schedule)
    assert looked.call_count == 1  # for two batches
    with torch.no_grad():
        tiny_model.pipe.transformer.proj_out.weight.mul_(1.5)
    after = runner.generate(schedule)
    assert not torch.equal(after, before)
    assert torch.equal(after, evaluator(tiny_model, share_bytes=0).generate(schedule))


def test_memory_for_sharing_cannot_be_negative(tiny_model: Any) -> None:
    with pytest.raises(EvaluationError, match="0 turns sharing off"):
        evaluator(tiny_model, share_bytes=-1)


def test_a_closed_evaluator_holds_no_shared_steps_and_can_go_on(tiny_model: Any) -> None:
    with evaluator(tiny_model) as runner:
        found = runner.evaluate(half_reused(tiny_model))
        assert runner.sharing.nbytes > 0
    assert runner.sharing.nbytes == 0
    assert np.array_equal(runner.evaluate(half_reused(tiny_model)).scores, found.scores)
