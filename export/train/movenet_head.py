"""MoveNet's back half, and what a keypoint network notices: heat maps and regressions.

The graph itself is run, by the interpreter of the PyTorch runner, which passes gradients.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from fcmrt.export.train.loss import HeadOutputs, TaskHead, cut
from fcmrt.onnxgraph import Graph, read_graph
from fcmrt.onnxwire import Port
from fcmrt.runners.torchrt.program import Placement, Program
from fcmrt.tasks.movenet import KEYPOINTS, Outputs

HEAT_UNIT = 4.0  # weighted nats per picture that count as a distortion of 1
CENTRE_UNIT = 1.0
PLACE_UNIT = 2.0  # weighted cells per picture
BACKGROUND = 0.02  # weight of a cell where the network sees nobody
HIDDEN = 3  # the first so many ReLUs are the sums of the pyramid, coarsest first


@dataclass(frozen=True, slots=True)
class MoveNetOutputs(HeadOutputs):
    """Outputs of the head, on the grid of the finest level."""

    hidden: tuple[Tensor, ...]
    """float32, the pyramid's sums after the ReLU: coarsest first."""
    centres: Tensor
    """Logits, float32 [N, 1, 64, 64]."""
    heat: Tensor
    """Logits, float32 [N, 17, 64, 64]."""
    places: Tensor
    """float32 [N, 72, 64, 64], in cells: regressions, offsets, size and offset of the box."""


class MoveNetHead(TaskHead[MoveNetOutputs]):
    """The back half of MoveNet MultiPose.

    Args:
        path: `movenet_mp.back.onnx`.
    """

    feature_weights = (0.10, 0.06, 0.10, 0.60)
    hidden_weights = (0.15, 0.15, 0.30)
    robust = True

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._graph = _with_inner_values(read_graph(path.read_bytes(), str(path)))
        self._programs: dict[torch.device, Program] = {}

    def forward(self, features: Sequence[Tensor]) -> MoveNetOutputs:
        """See `TaskHead`."""
        program = self._program(features[0].device)
        names = [port.name for port in self._graph.inputs]
        maps = {
            name: level.float().permute(0, 2, 3, 1)
            for name, level in zip(names, features, strict=True)
        }
        # In float32: its maps have means many times their spread, which bfloat16 would round away.
        with torch.autocast(features[0].device.type, enabled=False):
            registers = program.run(maps)
        values = [registers[slot].permute(0, 3, 1, 2) for slot in program.outputs.values()]
        centres, heat, *places = values[HIDDEN:]
        return MoveNetOutputs(tuple(values[:HIDDEN]), centres, heat, torch.cat(places, 1))

    def outputs(self, told: MoveNetOutputs, blocks: int = 1) -> Outputs:
        """See `TaskHead`."""
        scores = torch.sigmoid(told.centres), torch.sigmoid(told.heat), told.places
        maps = (cut(one.permute(0, 2, 3, 1), blocks).cpu().numpy() for one in scores)
        centres, heat, places = maps
        points = 2 * KEYPOINTS
        pairs = (*places.shape[:3], KEYPOINTS, 2)
        return Outputs(
            centres[..., 0],
            heat,
            places[..., :points].reshape(pairs),
            places[..., points : 2 * points].reshape(pairs),
            places[..., 2 * points : 2 * points + 2],
            places[..., 2 * points + 2 :],
        )

    def shift(self, student: MoveNetOutputs, teacher: MoveNetOutputs) -> dict[str, Tensor]:
        """See `TaskHead`: binary divergence of centres and heat, and how far places move.

        Offsets count where a keypoint is, all else where the middle of a person is.
        """
        with torch.no_grad():
            person = torch.sigmoid(teacher.centres).square()
            keypoint = torch.sigmoid(teacher.heat).square().repeat_interleave(2, 1)
            whole = person.expand(-1, 34, -1, -1), keypoint, person.expand(-1, 4, -1, -1)
            where = torch.cat(whole, 1)
        moved = functional.smooth_l1_loss(student.places, teacher.places, reduction="none")
        return {
            "centres": _divergence(student.centres, teacher.centres) / CENTRE_UNIT,
            "heat": _divergence(student.heat, teacher.heat) / HEAT_UNIT,
            "places": (moved * where).mean(1).sum((1, 2)) / PLACE_UNIT,
        }

    def _program(self, device: torch.device) -> Program:
        """The graph on a device; made there once."""
        if device not in self._programs:
            placement = Placement(device, torch.float32, channels_last=True)
            self._programs[device] = Program(self._graph, placement, "the back half")
        return self._programs[device]


def _divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Weighted binary divergence of two maps of logits: float32 `[N]`."""
    cross = functional.binary_cross_entropy_with_logits
    with torch.no_grad():
        score = torch.sigmoid(teacher)
        weight = BACKGROUND + score.square()
        entropy = cross(teacher, score, reduction="none")
    change = cross(student, score, reduction="none") - entropy
    return (change * weight).flatten(1).sum(1)


def _with_inner_values(graph: Graph) -> Graph:
    """The graph whose outputs are hidden activations, then the outputs before any sigmoid."""
    sigmoids = {node.outputs[0]: node.inputs[0] for node in graph.nodes if node.op == "Sigmoid"}
    nodes = tuple(node for node in graph.nodes if node.op != "Sigmoid")
    after = {node.inputs[0]: node.outputs[0] for node in graph.nodes if node.op == "Transpose"}
    hidden = [after[node.outputs[0]] for node in nodes if node.op == "Relu"][:HIDDEN]

    def port(name: str) -> Port:
        return dataclasses.replace(graph.outputs[0], name=name, dims=None)

    told = [sigmoids.get(output.name, output.name) for output in graph.outputs]
    outputs = tuple(port(name) for name in (*hidden, *told))
    changed: dict[str, Any] = {"outputs": outputs, "nodes": nodes}
    return dataclasses.replace(graph, **changed)
