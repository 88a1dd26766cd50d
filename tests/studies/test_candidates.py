"""Candidates on their way: their images shared out."""

from __future__ import annotations

from studies.candidates import divided


def test_images_are_divided_where_batches_end_and_a_small_last_batch_is_not_done_alone() -> None:
    assert list(divided(range(22), 8, 2)) == [tuple(range(8)), tuple(range(8, 22))]
    assert list(divided(range(5), 2, 4)) == [(0, 1), (2, 3), (4,)]
    assert list(divided([4, 2, 7], 8, 2)) == [(4, 2, 7)]
