"""Payloads that were committed with the format: every implementation decodes and repeats them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from fcmrt import errors
from fcmrt.kernels.api import CodedPayload, index_dtype
from fcmrt.tables import CdfTables

FOLDER = Path(__file__).parents[1] / "golden" / "coder"
NAMES = sorted(path.stem for path in FOLDER.glob("*.json"))


def load(cases, name):
    case = json.loads((FOLDER / f"{name}.json").read_bytes())
    data = (FOLDER / f"{name}.bin").read_bytes()
    split = case["segment_bytes"]
    raw = []
    for step in case["steps"]:
        tables = CdfTables.from_bytes((FOLDER / f"{step['tables']}.tables").read_bytes())
        indexes = np.array(step["indexes"], index_dtype(tables.count))
        symbols = np.array(step["symbols"], np.int32)
        raw.append(cases.RawStep(symbols, indexes, tables, step["skip"]))
    return case, raw, CodedPayload(data[:split], tuple(case["words"]), data[split:])


def test_files_are_those_that_were_committed():
    sums = dict(line.split()[::-1] for line in (FOLDER / "SHA256SUMS").read_text().splitlines())
    found = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in FOLDER.iterdir()
        if path.name != "SHA256SUMS"
    }
    assert found == sums


def test_there_are_golden_files():
    assert {len(json.loads((FOLDER / f"{n}.json").read_bytes())["steps"]) for n in NAMES} >= {
        1,
        2,
        6,
        11,
    }


@pytest.mark.parametrize("name", [n for n in NAMES if not n.startswith("fails-")])
def test_decodes_and_repeats(cases, implementation, name):
    """F-4, F-5, F-6, F-8."""
    case, raw, coded = load(cases, name)
    symbols, check = cases.decode(implementation, raw, coded, case["lanes"])
    for found, step in zip(symbols, raw, strict=True):
        assert np.array_equal(found, step.symbols)
    whole = case["check"]
    assert check == ((whole ^ whole >> 16) & 0xFFFF if case["lanes"] == 1 else whole)
    again = cases.encode(implementation, raw, case["lanes"], len(coded.words), whole)
    assert again == coded


@pytest.mark.parametrize("name", [n for n in NAMES if n.startswith("fails-")])
def test_fails(cases, implementation, name):
    """F-5, F-6."""
    case, raw, coded = load(cases, name)
    with pytest.raises(errors.BitstreamError) as caught:
        cases.decode(implementation, raw, coded, case["lanes"])
    assert type(caught.value) is getattr(errors, case["error"])
