from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecad_automl.schedules.genes import gene_columns, levels_of
from ecad_automl.schedules.layout import Layout, Slot
from studies.breeding import CROSSOVERS, FORECAST_MUTATIONS, GUIDED_MUTATIONS, MUTATIONS, Grid, breed

GRID = Grid(np.repeat(np.arange(4), 3), np.tile(np.arange(3), 4))
STEPS, SLOTS = 7, 12

seeds = st.integers(0, 2**32)


def parent(rng: np.random.Generator) -> np.ndarray:
    bits = rng.random((STEPS, SLOTS)) < rng.random()
    bits[0] = True
    return bits


@pytest.mark.parametrize("name", CROSSOVERS)
@given(seed=seeds)
def test_every_bit_of_a_crossed_child_is_that_of_a_parent(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    first, second = parent(rng), parent(rng)
    child = CROSSOVERS[name](first, second, GRID, rng)
    assert child.shape == first.shape
    assert ((child == first) | (child == second)).all()
    assert child[0].all()


@pytest.mark.parametrize("name", MUTATIONS)
@given(seed=seeds)
def test_mutation_keeps_shape_and_parent(name: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    bits = parent(rng)
    before = bits.copy()
    child = MUTATIONS[name](bits, GRID, rng)
    assert child.shape == bits.shape
    assert child.dtype == np.bool_
    assert np.array_equal(bits, before)


@given(seed=seeds)
def test_moving_computes_keeps_the_count_of_every_slot(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bits = parent(rng)
    assert np.array_equal(MUTATIONS["move"](bits, GRID, rng).sum(axis=0), bits.sum(axis=0))


@given(seed=seeds)
def test_swapping_keeps_the_count_of_every_component(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bits = parent(rng)
    child = MUTATIONS["swap"](bits, GRID, rng)
    for component in range(3):
        mine = GRID.component_index == component
        assert child[:, mine].sum() == bits[:, mine].sum()


@given(seed=seeds)
def test_swapping_steps_keeps_the_rows_and_moves_at_most_two(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bits = parent(rng)
    child = MUTATIONS["swap-steps"](bits, GRID, rng)
    assert sorted(map(bytes, child)) == sorted(map(bytes, bits))
    changed = np.flatnonzero((child != bits).any(axis=1)).tolist()
    assert not changed or changed == [changed[0], changed[0] + 1]


@given(seed=seeds)
def test_toggling_a_step_or_blocks_leaves_other_steps_alone(seed: int) -> None:
    rng = np.random.default_rng(seed)
    bits = parent(rng)
    for name in ("toggle-step", "blocks"):
        child = MUTATIONS[name](bits, GRID, rng)
        changed = np.argwhere(child != bits)
        assert len(set(changed[:, 0].tolist())) <= 1
        if len(changed):
            assert len(set(child[tuple(changed.T)].tolist())) == 1


@pytest.mark.parametrize("name", MUTATIONS)
def test_every_mutation_changes_something_sooner_or_later(name: str) -> None:
    rng = np.random.default_rng(0)
    bits = parent(np.random.default_rng(3))
    assert any(not np.array_equal(MUTATIONS[name](bits, GRID, rng), bits) for _ in range(50))


def test_a_schedule_of_one_step_breeds_itself() -> None:
    children, _ = breed(np.ones((2, 1, SLOTS), dtype=np.bool_), GRID, np.random.default_rng(0), 20)
    assert children.all()


def test_children_say_which_operators_made_them() -> None:
    rng = np.random.default_rng(0)
    parents = np.stack([parent(rng) for _ in range(5)])
    children, names = breed(parents, GRID, rng, 200)
    assert children.shape == (200, STEPS, SLOTS)
    assert children[:, 0].all()
    used = {part for name in names for part in name.split("+")}
    assert used == {*CROSSOVERS, *MUTATIONS}


def test_operators_of_no_weight_are_not_used() -> None:
    rng = np.random.default_rng(0)
    parents = np.stack([parent(rng) for _ in range(5)])
    weights = dict.fromkeys([*CROSSOVERS, *MUTATIONS], 0.0) | {"stepwise": 1.0, "flip": 1.0}
    _, names = breed(parents, GRID, rng, 100, weights)
    assert {part for name in names for part in name.split("+")} == {"stepwise", "flip"}


def test_one_parent_breeds_by_mutation() -> None:
    rng = np.random.default_rng(0)
    _, names = breed(parent(rng)[None], GRID, rng, 20)
    assert {part for name in names for part in name.split("+")} <= set(MUTATIONS)


def test_the_same_stream_breeds_the_same_children() -> None:
    parents = np.stack([parent(np.random.default_rng(seed)) for seed in range(4)])
    first = breed(parents, GRID, np.random.default_rng(5), 30)
    second = breed(parents, GRID, np.random.default_rng(5), 30)
    assert np.array_equal(first[0], second[0])
    assert first[1] == second[1]


class TestGridsThatSayWhatIsSkippedAndForecast:
    """Three components: one column of skips and four pairs of damping stand beside the slots."""

    layout = Layout("Toy", tuple(Slot(f"b.{block}", name) for block in range(4) for name in ("a", "b", "c")))
    columns = gene_columns(12, 3)
    grid = Grid.of(layout, columns)

    def parents(self, count: int, skipped: float = 0.3) -> np.ndarray:
        rng = np.random.default_rng(1)
        found = rng.random((count, STEPS, self.columns)) < 0.5
        found[:, :, SLOTS] = rng.random((count, STEPS)) < skipped
        return found

    @pytest.mark.parametrize("name", ["blocks", "band", "copy-slot"])
    @given(seed=seeds)
    def test_operators_of_blocks_leave_them_as_they_are(self, name: str, seed: int) -> None:
        bits = self.parents(1)[0]
        child = FORECAST_MUTATIONS[name](bits, self.grid, np.random.default_rng(seed))
        assert np.array_equal(child[:, SLOTS:], bits[:, SLOTS:])

    @given(seed=seeds)
    def test_a_step_that_is_toggled_is_run_and_keeps_its_damping(self, seed: int) -> None:
        bits = self.parents(1)[0]
        child = FORECAST_MUTATIONS["toggle-step"](bits, self.grid, np.random.default_rng(seed))
        (step,) = np.flatnonzero((child != bits).any(axis=1))
        assert child[step, :SLOTS].all() or not child[step, :SLOTS].any()
        assert not child[step, SLOTS]
        assert np.array_equal(child[:, SLOTS + 1 :], bits[:, SLOTS + 1 :])

    @given(seed=seeds)
    def test_moved_and_swapped_skips_are_as_many(self, seed: int) -> None:
        bits = self.parents(1)[0]
        for name in ("move", "swap"):
            child = FORECAST_MUTATIONS[name](bits, self.grid, np.random.default_rng(seed))
            assert child[:, SLOTS].sum() == bits[:, SLOTS].sum()

    @given(seed=seeds)
    def test_damping_changes_by_one_level(self, seed: int) -> None:
        bits = self.parents(1)[0]
        child = FORECAST_MUTATIONS["damp"](bits, self.grid, np.random.default_rng(seed))
        change = levels_of(child[:, SLOTS + 1 :]).astype(int) - levels_of(bits[:, SLOTS + 1 :])
        assert np.abs(change).max() <= 1
        assert (change.any(axis=0)).sum() <= 1
        assert np.array_equal(child[:, : SLOTS + 1], bits[:, : SLOTS + 1])

    @given(seed=seeds)
    def test_a_skip_is_toggled_at_one_step(self, seed: int) -> None:
        bits = self.parents(1)[0]
        child = FORECAST_MUTATIONS["skip"](bits, self.grid, np.random.default_rng(seed))
        assert np.argwhere(child != bits).tolist() == [[step, SLOTS] for step in np.flatnonzero((child != bits).any(1))]
        assert (child != bits).sum() == 1

    @given(seed=seeds)
    def test_guidance_changes_at_one_step_or_a_range_and_nothing_else_does(self, seed: int) -> None:
        guided = gene_columns(12, 3, guided=True)
        grid = Grid.of(self.layout, guided, guided=True)
        rng = np.random.default_rng(seed)
        bits = rng.random((STEPS, guided)) < 0.5
        assert grid.guidance == self.columns
        for name in ("guide", "guide-run"):
            child = GUIDED_MUTATIONS[name](bits, grid, rng)
            changed = np.flatnonzero((child != bits).any(axis=1))
            assert np.array_equal(child[:, : self.columns], bits[:, : self.columns])
            if name == "guide":
                (step,) = changed
                assert child[step, self.columns] != bits[step, self.columns]
            else:
                assert len(np.unique(child[changed, self.columns + 1 :], axis=0)) <= 1
        damped = GUIDED_MUTATIONS["damp"](bits, grid, rng)
        assert np.array_equal(damped[:, self.columns :], bits[:, self.columns :])

    def test_guidance_neither_takes_over_nor_dies_out_by_breeding_alone(self) -> None:
        guided = gene_columns(12, 3, guided=True)
        parents = np.random.default_rng(0).random((24, STEPS, guided)) < 0.5
        grid = Grid.of(self.layout, guided, guided=True)
        children, _ = breed(parents, grid, np.random.default_rng(0), 2000, mutations=GUIDED_MUTATIONS)
        assert 0.7 < children[:, 1:, self.columns].mean() / parents[:, 1:, self.columns].mean() < 1.4

    def test_skips_neither_take_over_nor_die_out_by_breeding_alone(self) -> None:
        parents = self.parents(24, skipped=0.2)
        children, _ = breed(parents, self.grid, np.random.default_rng(0), 2000, mutations=FORECAST_MUTATIONS)
        assert 0.7 < children[:, 1:, SLOTS].mean() / parents[:, 1:, SLOTS].mean() < 1.6
