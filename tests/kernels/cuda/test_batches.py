"""Several packets in one launch: each as if it were alone, whatever its neighbours are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fcmrt import kernels
from fcmrt.errors import BitstreamError, ConfigError, ShapeError
from fcmrt.kernels.api import LANES, CodedPayload, StepMap
from fcmrt.kernels.checks import Status
from fcmrt.kernels.cuda import values
from fcmrt.kernels.cuda.batch_decoder import BatchDecoder, Payload
from fcmrt.kernels.cuda.batch_encoder import BatchEncoder, BatchStep, Layout, most_segments
from fcmrt.kernels.cuda.elements import Elements
from fcmrt.kernels.cuda.prepared import CudaTables
from fcmrt.kernels.rules import log2_q8

SCALAR = kernels.get("scalar")

# A packet: elements of its two steps, lanes, segments.
PACKET = st.tuples(
    st.integers(0, 300), st.integers(0, 300), st.sampled_from(LANES), st.integers(1, 4)
)


class Batch:
    """Packets over the same two table sets, as rows that are longer than what counts of them."""

    SKIPS = (3, 0)

    def __init__(self, cases, device, packets, seed=0):
        rng = np.random.default_rng(seed)
        self.device = device
        self.packets = packets
        self.tables = [cases.make_tables(kind, rng) for kind in ("gaussian", "random")]
        self.on_device = [CudaTables(tables, device) for tables in self.tables]
        self.capacities = [max(p[k] for p in packets) + 7 * k for k in range(2)]
        self.raw = [
            [self.make_step(cases, rng, packet[k], k) for k in range(2)] for packet in packets
        ]

    def make_step(self, cases, rng, n, k):
        tables, skip = self.tables[k], self.SKIPS[k]
        indexes = rng.integers(0, tables.count, n).astype(np.uint8)
        symbols = cases.make_symbols("mixed", rng, tables, indexes)
        symbols[indexes < skip] = 0
        return cases.RawStep(symbols, indexes, tables, skip)

    def rows(self, k, name):
        """What the packets have of a step, with what nobody may look at behind it."""
        arrays = [getattr(steps[k], name) for steps in self.raw]
        rows = np.full((len(arrays), self.capacities[k]), 99, arrays[0].dtype)
        for row, array in zip(rows, arrays, strict=True):
            row[: len(array)] = array
        return self.device.upload(rows)

    def elements(self, k):
        counts = np.array([packet[k] for packet in self.packets], np.uint32)
        return Elements(
            self.rows(k, "indexes"),
            self.device.upload(counts),
            self.tables[k].count,
            self.SKIPS[k],
        )

    def steps(self):
        return [
            BatchStep(self.elements(k), self.on_device[k], self.rows(k, "symbols"))
            for k in range(2)
        ]

    def payload(self, cases, b):
        _, _, lanes, segments = self.packets[b]
        return cases.encode(SCALAR, self.raw[b], lanes, segments, self.check(b))

    def payloads(self, cases):
        coded = [self.payload(cases, b) for b in range(len(self.packets))]
        lanes = [packet[2] for packet in self.packets]
        return [
            Payload(c.segments, c.words, c.escapes, n) for c, n in zip(coded, lanes, strict=True)
        ]

    def check(self, b):
        return 0x9E3779B9 * (b + 1) & 0xFFFFFFFF

    def decoder(self, payloads):
        return BatchDecoder(
            self.device,
            len(payloads),
            max(len(p.words) for p in payloads),
            sum(len(p.segments) for p in payloads),
            sum(len(p.escapes) for p in payloads),
        )

    def decode(self, decoder):
        """Symbols of each step's rows."""
        out = []
        for k in range(2):
            symbols = self.device.empty((len(self.packets), self.capacities[k]), np.int32)
            decoder.step(self.elements(k), self.on_device[k], symbols)
            out.append(symbols)
        decoder.close()
        return [self.device.download(symbols) for symbols in out]

    def assert_decoded(self, decoder, symbols, b):
        assert decoder.statuses()[b] == Status.OK
        lanes, check = self.packets[b][2], self.check(b)
        assert decoder.checks()[b] == ((check ^ check >> 16) & 0xFFFF if lanes == 1 else check)
        for k in range(2):
            wanted = self.raw[b][k].symbols
            assert np.array_equal(symbols[k][b, : len(wanted)], wanted)


@settings(deadline=None, max_examples=30)
@given(st.lists(PACKET, min_size=1, max_size=9), st.integers(0, 99))
def test_decoding(cases, device, packets, seed):
    batch = Batch(cases, device, packets, seed)
    payloads = batch.payloads(cases)
    decoder = batch.decoder(payloads)
    decoder.load(payloads)
    symbols = batch.decode(decoder)
    for b in range(len(packets)):
        batch.assert_decoded(decoder, symbols, b)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(PACKET, min_size=1, max_size=9),
    st.integers(0, 99),
    st.sampled_from([1, 5, 200, 1000]),
    st.sampled_from([1, 2]),
)
def test_encoding(cases, device, packets, seed, overhead, min_lanes):
    batch = Batch(cases, device, packets, seed)
    encoder = BatchEncoder(device, len(packets), 10, batch.capacities)
    checks = np.array([batch.check(b) for b in range(len(packets))], np.uint32)
    encoder.encode(batch.steps(), Layout(overhead, min_lanes), device.upload(checks))
    assert not encoder.statuses().any()
    for b, (lanes, segments) in enumerate(encoder.layouts()):
        steps = cases.steps(SCALAR, batch.raw[b])
        assert (lanes, segments) == SCALAR.plan(steps, overhead, min_lanes)
        assert encoder.payloads()[b] == SCALAR.pack(steps, overhead, min_lanes, batch.check(b))[1]


MIXED = [(300, 200, 32, 3), (0, 0, 1, 1), (40, 9, 1, 1), (90, 90, 4, 1), (33, 64, 2, 2)] + [
    (50, 20, 8, 1)
] * 5


def test_buffers_serve_the_next_batch(cases, device):
    batches = [Batch(cases, device, MIXED, seed) for seed in range(3)]
    payloads = [batch.payloads(cases) for batch in batches]
    decoder = BatchDecoder(device, len(MIXED), 3, 1 << 14, 1 << 12)
    for batch, own in zip(batches, payloads, strict=True):
        decoder.load(own)
        symbols = batch.decode(decoder)
        for b in range(len(MIXED)):
            batch.assert_decoded(decoder, symbols, b)


def test_packets_fail_alone(cases, device):
    batch = Batch(cases, device, MIXED)
    payloads = batch.payloads(cases)
    good = payloads[3]
    broken = {
        0: payloads[0]._replace(segments=payloads[0].segments[:-2]),  # too short
        2: payloads[2]._replace(segments=bytes(4) + payloads[2].segments[4:]),  # a small state
        3: good._replace(segments=good.segments + b"\0\0", words=[good.words[0] + 1]),
        5: payloads[5]._replace(escapes=b"\x80\0"),  # not the shortest form
        7: payloads[7]._replace(escapes=payloads[7].escapes + b"\0"),
        8: payloads[8]._replace(
            segments=payloads[8].segments[:-4], words=[payloads[8].words[0] - 2]
        ),
    }
    wanted = {
        0: Status.SEGMENTS_SIZE,
        2: Status.STATE_TOO_SMALL,
        3: Status.WORDS_LEFT,
        5: Status.ESCAPE_MALFORMED,
        7: Status.ESCAPES_LEFT,
        8: Status.WORDS_EXHAUSTED,
    }
    damaged = [broken.get(b, payload) for b, payload in enumerate(payloads)]
    decoder = batch.decoder(damaged)
    decoder.load(damaged)
    symbols = batch.decode(decoder)
    for b, status in enumerate(decoder.statuses()):
        if b in wanted:
            assert status == wanted[b], b
            own = damaged[b]
            coded = CodedPayload(own.segments, tuple(own.words), own.escapes)
            with pytest.raises(BitstreamError):
                cases.decode(SCALAR, batch.raw[b], coded, own.lanes)
        else:
            batch.assert_decoded(decoder, symbols, b)


@pytest.mark.parametrize("bit", [0, 15, 16, 31])
def test_checks_are_compared_on_the_device(cases, device, bit):
    """Of one lane the fold is compared, so what it cannot tell apart passes."""
    batch = Batch(cases, device, MIXED)
    payloads = batch.payloads(cases)
    decoder = batch.decoder(payloads)
    decoder.load(payloads)
    batch.decode(decoder)
    checks = np.array([batch.check(b) for b in range(len(MIXED))], np.uint32)
    checks[[0, 2, 4]] ^= np.uint32(1 << bit)
    checks[1] ^= 0x00010001  # folds to the same
    decoder.compare(device.upload(checks))
    wanted = [Status.CHECK_DIFFERS if b in (0, 2, 4) else Status.OK for b in range(len(MIXED))]
    assert decoder.statuses().tolist() == wanted


def test_packets_that_cannot_be_encoded_fail_alone(cases, device):
    batch = Batch(cases, device, MIXED)
    skipped = np.flatnonzero(batch.raw[3][0].indexes < 3)[0]
    batch.raw[3][0].symbols[skipped] = 1
    batch.raw[6][1].indexes[5] = 255
    # The first mistake is the one to tell.
    batch.raw[0][0].indexes[[20, 250]] = [200, 0]
    batch.raw[0][0].symbols[250] = 1
    encoder = BatchEncoder(device, len(MIXED), 4, batch.capacities)
    checks = np.array([batch.check(b) for b in range(len(MIXED))], np.uint32)
    encoder.encode(batch.steps(), Layout(), device.upload(checks))
    wanted = {
        0: Status.INDEX_OUT_OF_RANGE,
        3: Status.SKIPPED_NONZERO,
        6: Status.INDEX_OUT_OF_RANGE,
    }
    for b, status in enumerate(encoder.statuses()):
        assert status == wanted.get(b, Status.OK)
        if b not in wanted:
            steps = cases.steps(SCALAR, batch.raw[b])
            assert encoder.payloads()[b] == SCALAR.pack(steps, 5, 1, batch.check(b))[1]


def test_packets_without_room_for_their_segments_fail_alone(cases, device):
    batch = Batch(cases, device, [(5, 0, 1, 1), (300, 300, 1, 1), (9, 9, 1, 1)])
    layout = Layout(overhead_permille=1000)
    wanted = [SCALAR.plan(cases.steps(SCALAR, raw), 1000, 1)[1] for raw in batch.raw]
    assert wanted[1] > 1
    most = most_segments(batch.capacities, 1000)
    assert most >= wanted[1]
    for room, failing in ((wanted[1] - 1, [1]), (wanted[1], []), (most, [])):
        encoder = BatchEncoder(device, 3, room, batch.capacities)
        encoder.encode(batch.steps(), layout, device.zeros((3,), np.uint32))
        assert np.flatnonzero(encoder.statuses()).tolist() == failing
        for b, coded in enumerate(encoder.payloads()):
            steps = cases.steps(SCALAR, batch.raw[b])
            assert coded == (None if b in failing else SCALAR.pack(steps, 1000, 1, 0)[1])


@pytest.mark.parametrize("mapped", [False, True])
@pytest.mark.parametrize("dtype", [np.int32, np.uint8, np.uint16])
def test_indexes_are_shifted_on_the_way(cases, device, mapped, dtype):
    """Unclipped indexes and steps, for each packet or element, instead of clipped indexes."""
    rng = np.random.default_rng(6)
    tables = cases.make_tables("gaussian", rng)
    packets, capacity, skip = 3, 500, 4
    low = -20 if dtype == np.int32 else 0
    raw_indexes = rng.integers(low, 90, (packets, capacity)).astype(dtype)
    shifts = np.array([-7, 0, 12], np.int32)
    numbers = rng.integers(-9, 10, (packets, capacity)).astype(np.int8)
    counts = np.array([500, 0, 333], np.uint32)
    elements = Elements(
        device.upload(raw_indexes),
        device.upload(counts),
        tables.count,
        skip,
        shifts=None if mapped else device.upload(shifts),
        numbers=device.upload(numbers) if mapped else None,
    )
    raw = []
    for b, n in enumerate(counts):
        widths = np.full(256, 65536, np.uint32)
        shift = StepMap(widths, -128, numbers[b, :n]) if mapped else int(shifts[b])
        indexes = SCALAR.shift_indexes(raw_indexes[b, :n], shift, tables.count)
        symbols = cases.make_symbols("mixed", rng, tables, indexes)
        symbols[indexes < skip] = 0
        raw.append(cases.RawStep(symbols, indexes, tables, skip))
    rows = np.zeros((packets, capacity), np.int32)
    for row, step in zip(rows, raw, strict=True):
        row[: len(step.symbols)] = step.symbols
    on_device = CudaTables(tables, device)
    encoder = BatchEncoder(device, packets, 16, [capacity])
    step = BatchStep(elements, on_device, device.upload(rows))
    encoder.encode([step], Layout(lanes=4, segments=2), device.zeros((packets,), np.uint32))
    payloads = []
    for b in range(packets):
        coded = encoder.payloads()[b]
        assert coded == cases.encode(SCALAR, [raw[b]], 4, 2, 0)
        payloads.append(Payload(coded.segments, coded.words, coded.escapes, 4))
    decoder = BatchDecoder(device, packets, 2, 1 << 13, 1 << 13)
    decoder.load(payloads)
    symbols = device.zeros((packets, capacity), np.int32)
    decoder.step(elements, on_device, symbols)
    decoder.close()
    assert not decoder.statuses().any()
    assert np.array_equal(device.download(symbols), rows)


def test_prices(cases, device):
    """What steps would cost is what packets of the requantised symbols do cost."""
    rng = np.random.default_rng(5)
    tables = cases.make_tables("gaussian", rng)
    packets, capacity, skip = 2, 1500, 2
    counts = np.array([1500, 700], np.uint32)
    given = (rng.standard_normal((packets, capacity)) * 6).astype(np.float32)
    means = rng.integers(-200, 200, (packets, capacity)).astype(np.int32)
    indexes = rng.integers(-5, 70, (packets, capacity)).astype(np.int32)
    widths = np.array([round(65536 * 1.09**d) for d in range(-8, 9)], np.uint32)
    candidates = np.array([-8, -1, 0, 3, 8], np.int32)
    bits = device.zeros((packets, len(candidates)), np.uint64)
    on_device = CudaTables(tables, device)
    elements = Elements(device.upload(indexes), device.upload(counts), tables.count, skip)
    values.price_steps(
        device,
        device.upload(given),
        device.upload(means),
        5,
        device.upload(values.step_table(-8, widths)),
        device.upload(candidates),
        elements,
        on_device,
        bits,
    )
    found = device.download(bits)
    for b, n in enumerate(counts):
        for c, d in enumerate(candidates):
            symbols, clipped = SCALAR.quantize(
                *(given[b, :n], means[b, :n], 5, int(widths[d + 8])),
                *(indexes[b, :n], int(d), tables.count, skip),
            )
            step = cases.RawStep(symbols, clipped, tables, skip)
            coded = cases.encode(SCALAR, [step], 1, 1, 0)
            cost = 0
            for symbol, t in zip(symbols, clipped, strict=True):
                if t >= skip:
                    k = symbol - tables.offsets[t]
                    k = k if 0 <= k < tables.sizes[t] else tables.sizes[t]
                    cost += 14 * 256 - log2_q8(int(tables.table(t)[k]))
            assert found[b, c] == cost + 8 * 256 * len(coded.escapes)
            assert abs(int(found[b, c]) / 2048 - len(coded.segments) - len(coded.escapes)) < 30


def test_sizes_are_checked(cases, device):
    batch = Batch(cases, device, MIXED[:3])
    payloads = batch.payloads(cases)
    decoder = BatchDecoder(device, 3, 2, 1 << 13, 1 << 13)
    with pytest.raises(ShapeError, match="3 segments"):
        decoder.load(payloads)
    decoder = BatchDecoder(device, 3, 3, 100, 1 << 13)
    with pytest.raises(ShapeError, match="100 bytes"):
        decoder.load(payloads)
    with pytest.raises(ShapeError, match="2 payloads for a batch of 3"):
        decoder.load(payloads[:2])
    for packets in (0, 65536):
        with pytest.raises(ConfigError, match=f"{packets} packets"):
            BatchDecoder(device, packets, 1, 8, 8)
        with pytest.raises(ConfigError, match=f"{packets} packets"):
            BatchEncoder(device, packets, 1, [8])
    with pytest.raises(ConfigError, match="4 GiB"):
        BatchDecoder(device, 1, 1, 1 << 32, 8)
