"""The cache of plans: what is whole is found again, what is damaged is not there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fcmrt.errors import ConfigError
from fcmrt.plans import PlanCache, PlanRecord
from fcmrt.tensorrt import cache as cache_module

INGREDIENTS = {
    "graph": "ab" * 32,
    "target": "sm_89",
    "library": {"name": "tensorrt", "version": "11.4", "device": "NVIDIA Ⅳ"},
    "profiles": [{"x": [[1, 2, 3, 4]] * 3}],
    "tf32": False,
    "workspace_bytes": None,
}
PLAN = bytes(range(256)) * 9


@pytest.fixture
def cache(tmp_path) -> PlanCache:
    return PlanCache(str(tmp_path))


@pytest.fixture
def record(cache) -> PlanRecord:
    return cache.keep(INGREDIENTS, PLAN, 1200)


def side(record: PlanRecord) -> Path:
    return record.path.with_suffix(".json")


def test_what_is_kept_is_found(cache, record):
    assert record.path.read_bytes() == PLAN
    assert (record.bytes, record.milliseconds) == (len(PLAN), 1200)
    assert cache.find(INGREDIENTS) == record
    assert list(cache.records()) == [record]
    assert cache.find({**INGREDIENTS, "tf32": True}) is None
    assert sorted(path.suffix for path in cache.folder.iterdir()) == [".json", ".plan"]


def test_nothing_is_there_at_first(cache):
    assert cache.find(INGREDIENTS) is None
    assert list(cache.records()) == []
    assert cache.timings({"target": "sm_89"}) == b""


def test_a_later_plan_takes_the_place(cache, record):
    later = cache.keep(INGREDIENTS, b"other", 7)
    assert later.path == record.path
    assert cache.find(INGREDIENTS) == later
    assert later.path.read_bytes() == b"other"


@pytest.mark.parametrize("plan", [b"", PLAN[:-1], PLAN + b"x", b"y" + PLAN[1:], None])
def test_damaged_plan(cache, record, plan):
    if plan is None:
        record.path.unlink()
    else:
        record.path.write_bytes(plan)
    assert cache.find(INGREDIENTS) is None
    assert cache.keep(INGREDIENTS, PLAN, 1) == cache.find(INGREDIENTS)


def changed(**changes):
    return lambda value: json.dumps(value | changes).encode()


@pytest.mark.parametrize(
    "damage",
    [
        lambda value: b"",
        lambda value: json.dumps(value).encode()[:-5],
        lambda value: json.dumps(value).encode() + b" " * (1 << 20),
        lambda value: b"[" * 100_000,
        lambda value: b'{"format": ' + b"1" * 5000 + b"}",
        lambda value: json.dumps([value]).encode(),
        lambda value: json.dumps({k: v for k, v in value.items() if k != "bytes"}).encode(),
        changed(more=1),
        changed(format=2),
        changed(format=True),
        changed(bytes=len(PLAN) - 1),
        changed(bytes=0),
        changed(bytes=1 << 60),
        changed(bytes=float(len(PLAN))),
        changed(milliseconds=-1),
        changed(sha256="0" * 64),
        changed(sha256="../../secret"),
        changed(ingredients={}),
        changed(ingredients=None),
        changed(ingredients=INGREDIENTS | {"tf32": True}),
        changed(ingredients=INGREDIENTS | {"library": "tensorrt"}),
        changed(ingredients=INGREDIENTS | {"target": 89}),
        changed(ingredients=INGREDIENTS | {"profiles": []}),
    ],
)
def test_damaged_record(cache, record, damage):
    side(record).write_bytes(damage(json.loads(side(record).read_bytes())))
    assert cache.find(INGREDIENTS) is None
    assert cache.keep(INGREDIENTS, PLAN, 1) == cache.find(INGREDIENTS)


@given(st.binary(max_size=200), st.data())
def test_no_record_raises(tmp_path_factory, noise, data):
    cache = PlanCache(str(tmp_path_factory.mktemp("noise")))
    record = cache.keep(INGREDIENTS, PLAN, 1)
    whole = side(record).read_bytes()
    at = data.draw(st.integers(0, len(whole)))
    side(record).write_bytes(whole[:at] + noise + whole[at + len(noise) :])
    found = cache.find(INGREDIENTS)
    assert found is None or found.ingredients == INGREDIENTS
    assert len(list(cache.records())) <= 1


def test_a_record_under_another_name_is_not_listed(cache, record):
    for suffix in (".json", ".plan"):
        record.path.with_suffix(suffix).rename(cache.folder / f"{'0' * 64}{suffix}")
    assert list(cache.records()) == []


def test_a_failed_write_leaves_what_was_there(cache, record, monkeypatch):
    def fail(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fcmrt.atomicfile.os.replace", fail)
    with pytest.raises(OSError, match="No space"):
        cache.keep(INGREDIENTS, b"other", 7)
    assert cache.find(INGREDIENTS) == record
    assert len(list(cache.folder.iterdir())) == 2


def test_timings_by_what_they_depend_on(cache, monkeypatch):
    cache.keep_timings({"target": "sm_89"}, b"fast")
    cache.keep_timings({"target": "sm_86"}, b"slow")
    assert cache.timings({"target": "sm_89"}) == b"fast"
    assert cache.timings({"target": "sm_86"}) == b"slow"
    monkeypatch.setattr(cache_module, "_MAX_BESIDE_BYTES", 3)
    assert cache.timings({"target": "sm_89"}) == b""


def test_kernels_by_plan_and_gpu(cache):
    cache.keep_kernels({"plan": "a", "device": "L4"}, b"compiled")
    assert cache.kernels({"plan": "a", "device": "L4"}) == b"compiled"
    assert cache.kernels({"plan": "a", "device": "L40S"}) == b""
    assert cache.timings({"plan": "a", "device": "L4"}) == b""


SHAPES = {"x": (1, 2, 3, 4)}


@pytest.mark.parametrize(
    ("change", "serves"),
    [
        ({}, True),
        ({"workspace_bytes": 1 << 20}, True),
        ({"profiles": [{"x": [[9, 9, 9, 9]] * 3}, {"x": [[1, 1, 1, 1], [1] * 4, [9] * 4]}]}, True),
        ({"profiles": [{"x": [[9, 9, 9, 9]] * 3}]}, False),
        ({"profiles": [{"y": [[1, 2, 3, 4]] * 3}]}, False),
        ({"tf32": True}, False),
        ({"target": "sm_86"}, False),
        ({"graph": "cd" * 32}, False),
        ({"library": {"name": "tensorrt", "version": "11.5", "device": "NVIDIA Ⅳ"}}, False),
    ],
    ids=str,
)
def test_a_plan_serves_in_place_of_another(cache, change, serves):
    kept = cache.keep({**INGREDIENTS, **change}, PLAN, 1)
    assert cache.serving(INGREDIENTS, SHAPES) == (kept if serves else None)
    kept.path.write_bytes(PLAN[:-1] + b"?")
    assert cache.serving(INGREDIENTS, SHAPES) is None


def test_the_plan_that_was_asked_for_comes_first(cache):
    wide = [{"x": [[1, 1, 1, 1], [1] * 4, [9] * 4]}]
    for level in range(4):
        cache.keep({**INGREDIENTS, "optimization_level": level, "profiles": wide}, PLAN, 1)
    assert cache.serving(INGREDIENTS, SHAPES) is not None
    own = cache.keep(INGREDIENTS, PLAN, 1)
    assert cache.serving(INGREDIENTS, SHAPES) == own


def test_without_a_folder(monkeypatch):
    monkeypatch.setattr(cache_module, "cache_folder", lambda chosen: None)
    with pytest.raises(ConfigError, match="FCMRT_CACHE_DIR"):
        PlanCache()
