"""Vectors are a function of their input, on any machine, and of one length."""

from __future__ import annotations

import subprocess
import sys
from math import isclose, sqrt

from hypothesis import given
from hypothesis import strategies as st

from projections.analytics.documents import Draft
from projections.analytics.embedding import HashedWords
from projections.analytics.vectors import FIGURES, HASHED_PLACES, KNOWN, KNOWN_PLACES, words_of

figures = st.lists(st.floats(0, 1), max_size=FIGURES)
words = st.lists(st.text(max_size=30), max_size=20)


def vector_of(numbers: list[float], said: list[str]) -> list[float]:
    """The vector of a document that says so."""
    [vector] = HashedWords().of_drafts([Draft("", "", "", {}, tuple(numbers), tuple(said))])
    return vector


@given(figures, words)
def test_the_same_input_is_the_same_vector(numbers: list[float], said: list[str]) -> None:
    """Also with the words in another order."""
    first = vector_of(numbers, said)
    assert first == vector_of(numbers, said) == vector_of(numbers, said[::-1])
    assert len(first) == FIGURES + KNOWN_PLACES + HASHED_PLACES


@given(figures, words)
def test_no_vector_is_longer_than_one(numbers: list[float], said: list[str]) -> None:
    """Each half has its share of the length, or nothing."""
    length = sqrt(sum(value * value for value in vector_of(numbers, said)))
    assert any(isclose(length, wanted, abs_tol=1e-4) for wanted in (0.0, sqrt(0.5), 1.0))


def test_a_vector_does_not_depend_on_the_process() -> None:
    """Python's own hashes differ between processes; these do not."""
    code = (
        "from projections.analytics.embedding import HashedWords; "
        "print(HashedWords().of_text('slow failing openai/gpt-4o'))"
    )
    printed = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        for _ in range(2)
    }
    assert printed == {f"{HashedWords().of_text('slow failing openai/gpt-4o')}\n"}


def test_a_name_is_found_whole_and_by_its_parts() -> None:
    """A person types what they remember of it."""
    assert words_of("calls of GPT-4o") == {"calls": 1.0, "gpt-4o": 1.0, "gpt": 0.5, "4o": 0.5}
    assert words_of("errors") == words_of("failed") == {"failing": 1.0}


def test_described_words_have_places_of_their_own() -> None:
    """No two share one, and there is room for more."""
    assert len(set(KNOWN)) == len(KNOWN) <= KNOWN_PLACES
