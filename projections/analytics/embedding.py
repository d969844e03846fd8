"""How documents and texts become vectors: by hashed words, or by a text embedding model that lies on disk."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Protocol

from projections.analytics.documents import Draft
from projections.analytics.errors import NoEmbeddingModelError
from projections.analytics.vectors import figures_half, unit, words_half

MAX_TOKENS = 256
EMBEDDED_AT_ONCE = 64


class Vectors(Protocol):
    """One way of making vectors; `name` tells it from others, for vectors of different ways cannot be compared."""

    @property
    def name(self) -> str: ...

    def of_drafts(self, drafts: Sequence[Draft]) -> list[list[float]]:
        """The vector of each document."""
        ...

    def of_text(self, text: str) -> list[float]:
        """The vector of a text that is searched for."""
        ...

    def of_figures(self, figures: Sequence[float]) -> list[float]:
        """The vector of figures alone."""
        ...


class HashedWords:
    """The default: nothing is learnt, nothing is loaded."""

    name = "features-1"

    def of_drafts(self, drafts: Sequence[Draft]) -> list[list[float]]:
        return [[*figures_half(draft.numbers), *words_half(draft.words)] for draft in drafts]

    def of_text(self, text: str) -> list[float]:
        return [*figures_half(()), *words_half([text])]

    def of_figures(self, figures: Sequence[float]) -> list[float]:
        return [*figures_half(figures), *words_half(())]


class TextModel:
    """A sentence transformer in ONNX with mean pooling: `model.onnx` and `tokenizer.json` in one folder."""

    def __init__(self, folder: Path) -> None:
        self.name = f"features-1+{folder.name}"
        self._session, self._tokenizer = _load(folder)
        self._inputs = {one.name for one in self._session.get_inputs()}
        self._places = len(self._embed(["places"])[0])

    def of_drafts(self, drafts: Sequence[Draft]) -> list[list[float]]:
        texts = [f"{draft.text} {' '.join(draft.words)}" for draft in drafts]
        halves: list[list[float]] = []
        for start in range(0, len(texts), EMBEDDED_AT_ONCE):
            halves += self._embed(texts[start : start + EMBEDDED_AT_ONCE])
        return [[*figures_half(draft.numbers), *half] for draft, half in zip(drafts, halves, strict=True)]

    def of_text(self, text: str) -> list[float]:
        return [*figures_half(()), *self._embed([text])[0]]

    def of_figures(self, figures: Sequence[float]) -> list[float]:
        return [*figures_half(figures), *[0.0] * self._places]

    def _embed(self, texts: Sequence[str]) -> list[list[float]]:
        import numpy as np

        encoded = self._tokenizer.encode_batch(list(texts))
        mask = np.array([one.attention_mask for one in encoded], dtype=np.int64)
        given = {
            "input_ids": np.array([one.ids for one in encoded], dtype=np.int64),
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(mask),
        }
        feed = {name: values for name, values in given.items() if name in self._inputs}
        hidden = self._session.run(None, feed)[0]
        weights = mask[:, :, None].astype(hidden.dtype)
        pooled = (hidden * weights).sum(axis=1) / weights.sum(axis=1).clip(min=1e-9)
        return [unit(row) for row in pooled.tolist()]


def _load(folder: Path) -> tuple[Any, Any]:
    missing = [name for name in ("model.onnx", "tokenizer.json") if not (folder / name).is_file()]
    if missing:
        raise NoEmbeddingModelError(
            f"no text embedding model in {folder}: {' and '.join(missing)} missing; put it there, or leave "
            "INTERLOCK_ANALYTICS__EMBEDDING_FOLDER empty to have words hashed"
        )
    try:
        from onnxruntime import InferenceSession  # type: ignore[import-untyped]
        from tokenizers import Tokenizer

        session = InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        tokenizer.enable_truncation(MAX_TOKENS)
        tokenizer.enable_padding()
    except ImportError as error:
        raise NoEmbeddingModelError(
            f"a text embedding model needs the packages onnxruntime and tokenizers: {error}"
        ) from None
    except Exception as error:  # noqa: BLE001 - the libraries have errors of their own kinds
        raise NoEmbeddingModelError(
            f"the text embedding model in {folder} cannot be loaded: {error}"
        ) from None
    return session, tokenizer


@lru_cache(maxsize=2)
def vectors_of(folder: Path | None) -> Vectors:
    """What the settings ask for; a model is loaded once. NoEmbeddingModelError when it is not there."""
    return HashedWords() if folder is None else TextModel(folder)
