"""Peers: each has to decode what it encoded, and one that is missing is named."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path

import pytest

from benchmarks import coder_peers
from benchmarks.coder_peers import Peer, PeerMissingError
from benchmarks.coder_sources import CodedSymbols, gaussian_source, gaussian_tables


@pytest.fixture(scope="module")
def coded() -> CodedSymbols:
    """Symbols with two escapes among them, one to each side."""
    drawn = gaussian_source("dense", 20_000, gaussian_tables()).coded_symbols()
    symbols = drawn.symbols.copy()
    symbols[[10, 11]] = 300, -300
    return drawn._replace(symbols=symbols)


@pytest.mark.parametrize("coder", coder_peers.PEERS)
def test_peer_decodes_what_it_encodes(coder: str, coded: CodedSymbols) -> None:
    try:
        peers = list(coder_peers.PEERS[coder](coded))
    except PeerMissingError as error:
        pytest.skip(str(error))
    ideal = coded.tables.ideal_bits(coded.symbols, coded.indexes) / 8
    for peer in peers:
        assert peer.coder == coder
        peer.encode.call(peer.encode.prepare())
        # A second decode finds its stream as the first did.
        for _ in range(2):
            peer.decode.call(peer.decode.prepare())
        assert 0.99 < peer.bytes / ideal < 1.03, peer.setting
    assert len({peer.setting for peer in peers}) == len(peers)


@pytest.mark.parametrize("wrong", ["no library at all", None])
def test_a_coder_for_another_python_is_missing(
    wrong: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As from a wheel of the wrong kind: its library is not found, or cannot be loaded."""
    folder = tmp_path / "compressai"
    folder.mkdir()
    (folder / "__init__.py").touch()
    suffix = ".cpython-30-other.so" if wrong is None else EXTENSION_SUFFIXES[0]
    (folder / f"ans{suffix}").write_text(wrong or "")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "compressai", raising=False)
    with pytest.raises(PeerMissingError, match="compressai"):
        coder_peers.compressai_extension()


def test_missing_peer_is_named(coded: CodedSymbols, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(_: CodedSymbols) -> Iterator[Peer]:
        raise PeerMissingError("it is not there")
        yield

    monkeypatch.setattr(coder_peers, "PEERS", {"someone": missing})
    assert coder_peers.peers_of(coded) == ([], ["someone was left out: it is not there"])
    assert coder_peers.versions() == {"someone": None}


def test_peer_that_decodes_wrong_is_refused() -> None:
    with pytest.raises(AssertionError, match=r"someone \(fast\) did not decode"):
        coder_peers._require(False, "someone", "fast")
