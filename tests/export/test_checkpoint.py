"""Checkpoints are weights; whatever else one holds is refused, and never run."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from fcmrt.errors import ExportError
from fcmrt.export.checkpoint import card_of, read_checkpoint, state_of
from fcmrt.export.trained import codec_of

WEIGHT = {"conv.weight": torch.ones(2)}


class Payload:
    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


def test_code_in_a_checkpoint_is_never_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    torch.save({"state_dict": WEIGHT, "hook": Payload(trace)}, tmp_path / "bad.pt")
    with pytest.raises(ExportError, match=r"weights alone.*state_dict"):
        read_checkpoint(tmp_path / "bad.pt")
    assert not trace.exists()


def test_what_a_checkpoint_holds_besides_is_named(tmp_path: Path) -> None:
    """As a loss that was averaged by NumPy is, or the model itself."""
    for held, name in (np.float64(0.5), "multiarray.scalar"), (torch.nn.ReLU(), "ReLU"):
        torch.save({"state_dict": WEIGHT, "held": held}, tmp_path / "more.pt")
        with pytest.raises(ExportError, match=rf"holds an object of \S+{name}, .*; save model"):
            read_checkpoint(tmp_path / "more.pt")


@pytest.mark.parametrize("data", [b"", b"no checkpoint", b"PK\x03\x04 and nothing"])
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "bad.pt").write_bytes(data)
    with pytest.raises(ExportError, match=r"bad\.pt"):
        read_checkpoint(tmp_path / "bad.pt")


def test_a_tensor_is_no_checkpoint(tmp_path: Path) -> None:
    torch.save(torch.ones(3), tmp_path / "bad.pt")
    with pytest.raises(ExportError, match="holds a Tensor"):
        read_checkpoint(tmp_path / "bad.pt")


@pytest.mark.parametrize(
    "checkpoint",
    [
        WEIGHT,
        {"state_dict": WEIGHT, "epoch": 3},
        {"model": {"module.conv.weight": WEIGHT["conv.weight"]}},
        {"state_dict": {"module.conv.weight": WEIGHT["conv.weight"]}},
        {"_orig_mod.conv.weight": WEIGHT["conv.weight"]},
        {"module._orig_mod.conv.weight": WEIGHT["conv.weight"]},
        {"_orig_mod.module.conv.weight": WEIGHT["conv.weight"]},
    ],
)
def test_wrappers_and_prefixes_come_off(checkpoint: dict[str, Any]) -> None:
    assert list(state_of(checkpoint)) == ["conv.weight"]


@pytest.mark.parametrize("checkpoint", [{}, {"epoch": 3}, {"state_dict": {"a": 1}}])
def test_no_state_dict_is_told(checkpoint: dict[str, Any]) -> None:
    with pytest.raises(ExportError, match="no state dict"):
        state_of(checkpoint)


def test_a_foreign_checkpoint_is_not_taken_for_a_trained_one() -> None:
    with pytest.raises(ExportError, match="Which codec is it"):
        codec_of(WEIGHT)
    with pytest.raises(ExportError, match="does not fit"):
        codec_of({"family": "lmsfc-v1", "config": {"width": 3}, "average": {}})


@pytest.mark.parametrize(
    ("card", "told"),
    [('{"task": "movenet"}', {"task": "movenet"}), ("no JSON", {}), ("[1]", {}), (3, {})],
)
def test_a_card_is_json_or_nothing(card: Any, told: dict[str, Any]) -> None:
    assert card_of({"card": card}) == told
    assert card_of({}) == {}
