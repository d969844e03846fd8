"""A text embedding model from a folder: used when it is there, told by name when it is not."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import pytest

from projections.analytics.documents import Draft
from projections.analytics.embedding import HashedWords, TextModel, vectors_of
from projections.analytics.errors import NoEmbeddingModelError
from projections.analytics.vectors import FIGURES

WORDS = {"slow": (1.0, 0.0), "failing": (0.0, 1.0), "[UNK]": (0.0, 0.0)}
FLOAT, INT64 = 1, 7


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def _field(number: int, value: int | str | bytes) -> bytes:
    """One field of a protobuf message."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    raw = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(raw)) + raw


def _tensor(name: str, kind: int, *sizes: str) -> bytes:
    shape = b"".join(_field(1, _field(2, size)) for size in sizes)
    return _field(1, name) + _field(2, _field(1, _field(1, kind) + _field(2, shape)))


def lookup_model() -> bytes:
    """An ONNX model that looks each token up in a table of two places."""
    table = struct.pack("<6f", *(place for places in WORDS.values() for place in places))
    table_tensor = _field(1, 3) + _field(1, 2) + _field(2, FLOAT) + _field(8, "table") + _field(9, table)
    node = _field(1, "table") + _field(1, "input_ids") + _field(2, "hidden") + _field(4, "Gather")
    graph = _field(1, node) + _field(2, "lookup") + _field(5, table_tensor)
    graph += _field(11, _tensor("input_ids", INT64, "texts", "tokens"))
    graph += _field(12, _tensor("hidden", FLOAT, "texts", "tokens", "places"))
    return _field(1, 8) + _field(7, graph) + _field(8, _field(2, 13))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder as a downloaded model has it."""
    tokenizer = {
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "Whitespace"},
        "model": {
            "type": "WordLevel",
            "vocab": {word: index for index, word in enumerate(WORDS)},
            "unk_token": "[UNK]",
        },
    }
    home = tmp_path / "tiny-model"
    home.mkdir()
    (home / "tokenizer.json").write_text(json.dumps(tokenizer))
    (home / "model.onnx").write_bytes(lookup_model())
    return home


def test_words_become_what_the_model_says(folder: Path) -> None:
    """The first half are the figures as ever; the second is the mean of the tokens, of half the length."""
    model = TextModel(folder)
    assert model.name == "features-1+tiny-model"
    assert model.of_text("slow")[FIGURES:] == [0.707107, 0.0]
    assert model.of_text("slow failing")[FIGURES:] == [0.5, 0.5]
    draft = Draft("", "", "failing", {}, (1.0,), ())
    assert model.of_drafts([draft, draft]) == [[0.707107, *[0.0] * (FIGURES - 1), 0.0, 0.707107]] * 2
    assert len(model.of_figures((0.5,))) == FIGURES + 2


def test_without_a_folder_words_are_hashed() -> None:
    """Nothing is loaded, and no package is needed."""
    assert isinstance(vectors_of(None), HashedWords)


def test_a_folder_without_a_model_is_told_with_what_is_missing(folder: Path) -> None:
    """Never in silence another way, for the vectors could not be compared."""
    (folder / "model.onnx").unlink()
    with pytest.raises(NoEmbeddingModelError, match=r"tiny-model: model\.onnx missing"):
        vectors_of(folder)


def test_a_damaged_model_is_told_as_one(folder: Path) -> None:
    """The message names the folder and what the library says."""
    (folder / "model.onnx").write_bytes(b"no model")
    with pytest.raises(NoEmbeddingModelError, match="cannot be loaded"):
        vectors_of(folder)
