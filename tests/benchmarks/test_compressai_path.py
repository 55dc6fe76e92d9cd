"""CompressAI's way of running a codec, with a coder that only keeps what it is given."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import compressai_path
from benchmarks.compressai_path import CompressAiPath
from fcmrt.export.deployment import Deployment
from fcmrt.export.reference import TorchReference
from tests.export.test_deployment import picture, two_groups


class Ans:
    """Looks like `compressai.ans`, and checks what CompressAI would."""

    class RansEncoder:
        """Codes one list."""

        def encode_with_indexes(self, symbols: Any, indexes: Any, *model: Any) -> bytes:
            _check(symbols, indexes, *model)
            return json.dumps(symbols).encode()

    class BufferedRansEncoder:
        """Codes many lists into one string."""

        def __init__(self) -> None:
            self._kept: list[int] = []

        def encode_with_indexes(self, symbols: Any, indexes: Any, *model: Any) -> None:
            _check(symbols, indexes, *model)
            self._kept += symbols

        def flush(self) -> bytes:
            return json.dumps(self._kept).encode()

    class RansDecoder:
        """Gives back what was kept."""

        def set_stream(self, data: bytes) -> None:
            self._left = json.loads(data)

        def decode_stream(self, indexes: Any, *model: Any) -> list[int]:
            taken, self._left = self._left[: len(indexes)], self._left[len(indexes) :]
            _check(taken, indexes, *model)
            return taken

        def decode_with_indexes(self, data: bytes, indexes: Any, *model: Any) -> list[int]:
            self.set_stream(data)
            return self.decode_stream(indexes, *model)


def _check(symbols: Any, indexes: Any, cdfs: Any, lengths: Any, offsets: Any) -> None:
    assert isinstance(symbols, list)
    assert isinstance(indexes, list)
    assert len(symbols) == len(indexes)
    assert all(0 <= i < len(cdfs) for i in indexes)
    # Of one width, as CompressAI keeps them; what is behind a table's end is nothing's.
    assert {len(cdf) for cdf in cdfs} == {max(lengths)}
    for cdf, length in zip(cdfs, lengths, strict=True):
        assert cdf[0] == 0
        assert cdf[length - 1] == 1 << 16
        assert not any(cdf[length:])
    assert len(offsets) == len(cdfs)


@pytest.fixture
def codec(monkeypatch: pytest.MonkeyPatch) -> Deployment:
    monkeypatch.setattr(compressai_path, "compressai_extension", lambda: Ans)
    return two_groups()


@pytest.mark.parametrize("d", [8, 0])
def test_it_codes_the_integers_of_the_codec(codec: Deployment, d: int) -> None:
    x = picture(8, 12)
    path = CompressAiPath(codec)
    strings = path.compress([torch.from_numpy(x)], d, (8, 12))
    walk = TorchReference(codec).encode([x], d)
    z, y = (np.array(json.loads(data)) for data in strings)
    assert (z == walk.integers["z"].symbols).all()
    wanted = np.concatenate([walk.integers[name].symbols for name in ("a", "b")])
    assert (y != wanted).mean() < 0.01
    assert y.any()


def test_it_decodes_what_the_codec_decodes(codec: Deployment) -> None:
    x = picture(8, 12)
    path = CompressAiPath(codec)
    (decoded,) = path.decompress(path.compress([torch.from_numpy(x)], 0, (8, 12)), 0, (8, 12))
    reference = TorchReference(codec)
    wanted = reference.decode(reference.encode([x], 0)).tensors["x_hat"]
    # Means that are not rounded make a few symbols others, and what is decoded around them.
    far = np.abs(decoded.numpy() - wanted) > 0.05 * np.abs(wanted).max()
    assert far.mean() < 0.1


def test_tables_become_lists_once_in_every_call(
    codec: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    lists = compressai_path.DeviceTables.lists

    def counted(tables: Any) -> Any:
        asked.append(id(tables))
        return lists(tables)

    monkeypatch.setattr(compressai_path.DeviceTables, "lists", counted)
    path = CompressAiPath(codec)
    assert not asked
    strings = path.compress([torch.from_numpy(picture(8, 12))], 0, (8, 12))
    path.decompress(strings, 0, (8, 12))
    sets = {latent.tables for latent in codec.latents.values()}
    assert len(asked) == 2 * len(sets) == 2 * len(set(asked))


def test_both_sides_have_the_same_symbols(codec: Deployment) -> None:
    path = CompressAiPath(codec)
    strings = path.compress([torch.from_numpy(picture(8, 12))], 0, (8, 12))
    coded = path.symbols
    path.decompress(strings, 0, (8, 12))
    assert path.symbols is not coded
    assert coded.keys() == path.symbols.keys() == codec.latents.keys()
    assert all(torch.equal(coded[name], path.symbols[name]) for name in coded)
