"""What a search takes is told before it begins."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ecad_automl
from ecad_automl.api.price import Price, Timed, duration

Cli = Callable[..., tuple[int, str, str]]

TIMED = Timed(10.0, 4, "cuda:0", 24 * 2**30, 30 * 2**30, 80 * 2**30)


def test_hours_follow_from_images_and_the_time_of_one() -> None:
    price = Price(6000, 1000, 20, (4, 6, 8, 10, 13, 16), timed=TIMED)
    assert price.images == 6000 * 1000 + 7 * 1000
    assert price.seconds() == pytest.approx(1000 * 10 * (1 + 57 / 20 + 3000))
    assert price.line.startswith(
        "At most 6,007,000 images: 6000 evaluations of 1000, and 7,000 of the calibration; about"
    )
    assert "350 days on cuda:0" in price.line
    assert price.memory.startswith("Weights: 24 GiB. At most 30 GiB of 80 GiB on cuda:0 were in use in a call of 4")
    assert [count for count, *_ in price.budgets] == [25, 50, 100, 6000]
    assert [count for count, *_ in Price(40, 1, 20, ()).budgets] == [25, 40]
    assert Price(40, 16, 20, (4, 6), (5, 7), 4).images == 40 * 16 + 3 * 16 + 2 * 4
    fitted = Price(40, 16, 20, (), fit_images=4, timed=TIMED)
    assert fitted.line.startswith(
        "At most 656 images: 40 evaluations of 16, and 16 of the calibration; 160 more to fit"
    )
    assert fitted.seconds() == pytest.approx(10 * (16 + 40 * (16 + 4) / 2))
    assert Price(40, 1, 20, ()).line == "At most 41 images: 40 evaluations of 1, and 1 of the calibration."


@pytest.mark.parametrize(
    ("seconds", "told"), [(3.21, "3.2 s"), (600, "10 min"), (6000, "1.7 h"), (86_400 * 3, "3 days")]
)
def test_durations_have_two_digits(seconds: float, told: str) -> None:
    assert duration(seconds) == told


def test_estimate_and_a_dry_run_tell_the_same_and_write_nothing(
    run_cli: Cli, tmp_path: Path, search_arguments: Callable[[Path, int], list[str]], tiny_model: Any
) -> None:
    command, *arguments = search_arguments(tmp_path, 40)
    before = set(tmp_path.iterdir())
    found = []
    for asked in (("estimate", *arguments), (command, *arguments, "--dry-run")):
        code, out, err = run_cli(*asked, "--json")
        assert code == 0, err
        found.append(json.loads(out))
        assert found[-1]["seconds"] > 0
        assert found[-1]["timed"].pop("seconds") > 0
        for price in (found[-1], *found[-1]["budgets"]):
            price.pop("seconds")
    assert found[0] == found[1]
    assert (found[0]["images_per_evaluation"], found[0]["images"]) == (3, 3 * 40 + found[0]["calibration_images"])
    assert set(tmp_path.iterdir()) == before
    code, out, _ = run_cli("estimate", *arguments, columns=80)
    assert code == 0
    assert "about" in out
    assert max(map(len, out.splitlines())) <= 80
    price = ecad_automl.estimate(tiny_model, ["a", "b"], evaluations=40, storage=tmp_path / "none.db", progress=False)
    assert (price.images_each, price.evaluations) == (2, 40)
    assert not (tmp_path / "none.db").exists()
