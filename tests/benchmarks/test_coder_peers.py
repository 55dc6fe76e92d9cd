"""Peers: each has to decode what it encoded, and one that is missing is named."""

from __future__ import annotations

from collections.abc import Iterator

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
