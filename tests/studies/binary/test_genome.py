from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ecad_automl.errors import StudyError
from studies.binary import pack_bits, unpack_bits


@given(st.lists(st.booleans(), min_size=1, max_size=200))
def test_a_packed_genome_gives_its_bits_back(bits: list[bool]) -> None:
    genome = pack_bits(bits)
    assert unpack_bits(genome).tolist() == bits
    # Four bits a digit, to whole bytes.
    assert genome == f"{len(bits)}:{genome.partition(':')[2]}"
    assert len(genome.partition(":")[2]) == 2 * -(-len(bits) // 8)


@given(st.lists(st.booleans(), min_size=1, max_size=20), st.lists(st.booleans(), min_size=1, max_size=20))
def test_two_genomes_are_equal_where_their_bits_are(first: list[bool], second: list[bool]) -> None:
    assert (pack_bits(first) == pack_bits(second)) == (first == second)


@pytest.mark.parametrize("wrong", [[], [[True]], [0, 2], ["a"], 1])
def test_what_is_no_row_of_bits_is_refused(wrong: object) -> None:
    with pytest.raises(StudyError, match="one row of bits"):
        pack_bits(np.array(wrong))


@pytest.mark.parametrize("wrong", ["", "8", "8:", "8:zz", "9:ff", "0:", "x:ff", "-8:ff"])
def test_a_text_that_is_no_genome_is_refused(wrong: str) -> None:
    with pytest.raises(StudyError, match="genome"):
        unpack_bits(wrong)
