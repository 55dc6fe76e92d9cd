"""How torch_ans is called, with something that only keeps what it is given."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from benchmarks.coder_cuda import parts_of
from benchmarks.coder_peers import PeerMissingError
from benchmarks.coder_sources import gaussian_source, gaussian_tables
from benchmarks.gpu_timing import Samples
from benchmarks.gpu_torch_ans import SETTINGS, Setting, TorchAns, figures, import_torch_ans

WORDS = 10


class Interface:
    """Looks like `TorchANSInterface` of torch_ans 0.4.0, and checks what it is given."""

    def __init__(self, **options: Any) -> None:
        assert options.pop("impl") == "rans32_16"
        assert options.pop("freq_precision") == 14
        assert options.pop("num_interleaves") == 32
        self.impl = "rans32_16"
        self.rows = options.pop("num_parallel_states")
        self.escapes = options.pop("bypass_coding")
        self.bits = options.pop("inverse_cdf_precision")
        self.device = options.pop("device")
        assert not options

    def set_cdfs(self, cdfs: Any, sizes: Any, offsets: Any) -> None:
        assert cdfs.dtype == sizes.dtype == offsets.dtype == torch.int32
        assert len(cdfs) == len(sizes) == len(offsets)
        self.sizes, self.offsets = sizes, offsets

    def encode(self, symbols: Any, *, dist_indexes: Any) -> Any:
        assert symbols.shape == dist_indexes.shape == (self.rows, symbols.shape[1])
        assert symbols.dtype == dist_indexes.dtype == torch.int32
        if not self.escapes:
            event = symbols - self.offsets[dist_indexes]
            # The last event of a row is our escape, and the row ends one entry behind it.
            assert bool(((event >= 0) & (event < self.sizes[dist_indexes] - 2)).all())
        self.kept = symbols
        return torch.full((self.rows, 4), WORDS, dtype=torch.int32)

    def decode(self, stream: Any, *, dist_indexes: Any) -> Any:
        assert bool((stream == WORDS).all()), "the stream was used before"
        stream.zero_()  # as torch_ans does
        return self.kept.clone()


def batch(setting: Setting, interface: Any = Interface) -> TorchAns:
    source = gaussian_source("mid", 1000, gaussian_tables())
    return TorchAns(interface, setting, parts_of(source, 3, 300), 5, device="cpu")


@pytest.mark.parametrize("setting", SETTINGS)
def test_it_is_called_as_its_interface_wants(setting: Setting) -> None:
    peer = batch(setting)
    for _ in range(2):
        peer.require_decoded()
    assert peer.symbols == 5 * 300
    assert peer.bytes == 5 * WORDS
    seconds = torch.tensor([1e-3, 2e-3, 3e-3], dtype=torch.float64).numpy()
    row = figures(peer, Samples(seconds, seconds, 1980), Samples(2 * seconds, seconds, None))
    assert row["encode_us"] == pytest.approx(2000)
    assert row["decode_gsym_s"] == pytest.approx(1500 / 4e-3 * 1e-9)
    assert (row["encode_sm_mhz"], row["decode_sm_mhz"]) == (1980, None)
    assert row["encode_gb_s"] == pytest.approx(50 / 2e-3 * 1e-9)


def test_wrong_symbols_leave_it_out() -> None:
    class Wrong(Interface):
        def decode(self, stream: Any, *, dist_indexes: Any) -> Any:
            found = super().decode(stream, dist_indexes=dist_indexes)
            found[1, 2] += 1
            return found

    with pytest.raises(PeerMissingError, match="did not decode"):
        batch(SETTINGS[0], Wrong).require_decoded()


@pytest.mark.parametrize(("folder", "words"), [(None, "--torch-ans"), ("/nowhere", "/nowhere")])
def test_without_it_a_sentence_says_so(folder: str | None, words: str) -> None:
    with pytest.raises(PeerMissingError, match=words):
        import_torch_ans(folder)
