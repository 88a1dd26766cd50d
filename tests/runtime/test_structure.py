"""Arguments of blocks taken apart one after another."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from ecad_automl.runtime.structure import Arguments, OpaqueValueError

X, Y = torch.zeros(2, 3), torch.zeros(2, 3)
BASE: dict[str, Any] = {"text": torch.zeros(2), "mask": None, "scale": 1, "pair": (X, Y), "more": {"ids": [1, 2]}}


def test_equal_arguments_have_the_same_signature_and_their_own_tensors() -> None:
    arguments = Arguments()
    first, tensors = arguments.flatten((X,), BASE, training=False)
    again, others = arguments.flatten((Y,), {**BASE, "more": {"ids": [1, 2]}}, training=False)
    assert again is first
    expected = [Y, BASE["text"], X, Y]
    assert all(one is other for one, other in zip(others, expected, strict=True))
    assert tensors[0] is X
    # A signature of another run is another object, which serves the same programs.
    unrelated, _ = Arguments().flatten((Y,), BASE, training=False)
    assert unrelated is not first
    assert unrelated == first
    assert {first: "program"}[unrelated] == "program"


@pytest.mark.parametrize(
    "change",
    [
        {"args": (torch.zeros(2, 4),)},
        {"args": (X.double(),)},
        {"args": (X.to("meta"),)},
        {"args": ()},
        {"args": (X, X)},
        {"kwargs": {**BASE, "scale": 1.0}},
        {"kwargs": {**BASE, "scale": True}},
        {"kwargs": {**BASE, "mask": X}},
        {"kwargs": dict(reversed(BASE.items()))},
        {"kwargs": {("texts" if name == "text" else name): value for name, value in BASE.items()}},
        {"kwargs": {**BASE, "pair": (X, X, X)}},
        {"kwargs": {**BASE, "pair": [X, Y]}},
        {"training": True},
    ],
)
def test_other_arguments_have_another_signature(change: dict[str, Any]) -> None:
    arguments = Arguments()
    given: dict[str, Any] = {"args": (X,), "kwargs": BASE, "training": False}

    def flatten(given: dict[str, Any]) -> Any:
        return arguments.flatten(given["args"], given["kwargs"], training=given["training"])[0]

    first, other, back = flatten(given), flatten(given | change), flatten(given)
    assert other != first
    assert back == first


def test_contents_of_lists_and_dictionaries_are_looked_at_again() -> None:
    arguments = Arguments()
    inner: dict[str, Any] = {"ids": [1, 2]}
    first, _ = arguments.flatten((), {"more": (inner,)}, training=False)
    inner["ids"].append(X)
    second, tensors = arguments.flatten((), {"more": (inner,)}, training=False)
    assert second != first
    assert tensors == [X]


def test_after_an_opaque_argument_nothing_is_mistaken() -> None:
    arguments = Arguments()
    first, _ = arguments.flatten((X,), {"scale": 1}, training=False)
    with pytest.raises(OpaqueValueError, match="a object"):
        arguments.flatten((torch.zeros(9),), {"scale": object()}, training=False)
    again, tensors = arguments.flatten((X,), {"scale": 1}, training=False)
    assert again == first
    assert tensors == [X]
    arguments.forget()
    assert arguments.flatten((X,), {"scale": 1}, training=False)[0] == first
