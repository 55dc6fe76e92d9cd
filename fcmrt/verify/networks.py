"""An engine's graphs in one configuration, compared with the reference."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..engine import Engine
from ..errors import FcmrtError
from ..exact import Verdict, bring_up
from ..kernels.api import StepMap
from ..runner import Network, make_runner
from ..schedule import Quantize, Run, Side, Step
from ..spec import UNIT_STEP
from ..walk import Walk
from .configurations import Configuration
from .stage import Stage, Stages


class NetworkStages:
    """Runs every graph on the inputs that the reference had.

    Args:
        engine: The codec.
        configuration: How to run its graphs.
        stages: Where the findings go.
    """

    def __init__(self, engine: Engine, configuration: Configuration, stages: Stages) -> None:
        self.name = configuration.name
        self._engine = engine
        self._runner = make_runner(configuration.options)
        self.identity = self._runner.identity
        self._stages = stages
        self._networks: dict[str, Network] = {}
        self._verdicts: dict[tuple[Any, ...], Verdict] = {}
        self._reported: set[tuple[Any, ...]] = set()

    def compare(self, encoding: Walk, decoding: Walk) -> None:
        """Compares both schedules for one picture.

        Args:
            encoding: The reference's walk through the encoder's schedule. Every tensor is written
                once, so it still holds the inputs of every step.
            decoding: Likewise through the decoder's.
        """
        manifest = self._engine.manifest
        self._compare("encode", manifest.encode, encoding)
        self._compare("decode", manifest.decode, decoding)

    def _compare(self, side: Side, schedule: Sequence[Step], walk: Walk) -> None:
        made: dict[str, npt.NDArray[Any]] = {}
        for step in schedule:
            if isinstance(step, Run):
                exact = step.graph in self._engine.manifest.exact
                stage = self._stages.of(self.name, side, f"run {step.graph}", exact=exact)
                try:
                    made |= self._run(stage, step, walk)
                except FcmrtError as error:
                    stage.error = str(error)
            elif isinstance(step, Quantize):
                self._symbols(step.latent, walk, made)

    def _symbols(self, name: str, walk: Walk, made: dict[str, npt.NDArray[Any]]) -> None:
        """Compares the symbols that follow from the networks' outputs in this configuration."""
        latent = self._engine.manifest.latents[name]
        if not {latent.source, latent.means, latent.indexes} & set(made):
            return
        stage = self._stages.of(self.name, "encode", f"symbols {name}", exact=False)
        mine = copy.copy(walk)
        mine.tensors, mine.integers = {**walk.tensors, **made}, {}
        self._stages.timed(stage, lambda: mine.quantize(name))
        wanted = walk.integers[name]
        values = walk.elements(name).take(walk.tensors[latent.source]).astype(np.float64)
        if wanted.means is not None:
            values -= wanted.means * 2.0**-self._engine.manifest.mean_bits
        _, step = walk.steps(name)
        if isinstance(step, StepMap):
            values *= UNIT_STEP / step.widths[step.numbers.astype(np.intp) - step.first]
        else:
            values *= UNIT_STEP / step
        stage.compare_symbols(wanted.symbols, mine.integers[name].symbols, values)

    def _run(self, stage: Stage, step: Run, walk: Walk) -> dict[str, npt.NDArray[Any]]:
        network = self._network(step.graph, stage.exact)
        inputs = {name: walk.tensors[name] for name in step.inputs}
        outputs = self._stages.timed(stage, lambda: network.run(inputs, step.outputs))
        made = {}
        for name, output in zip(step.outputs, outputs, strict=True):
            wanted = walk.tensors[name]
            made[name] = output[:, :, : wanted.shape[2], : wanted.shape[3]]
            stage.compare(wanted, made[name])
        if stage.exact:
            self._bring_up(stage, step, network, walk)
        return {
            name: output
            for name, output in made.items()
            if output.shape == walk.tensors[name].shape
        }

    def _network(self, graph: str, exact: bool) -> Network:
        if graph not in self._networks:
            data = self._engine.graph(graph)
            self._networks[graph] = self._runner.load(graph, data, exact=exact)
        return self._networks[graph]

    def _bring_up(self, stage: Stage, step: Run, network: Network, walk: Walk) -> None:
        shapes = {name: walk.tensors[name].shape for name in step.inputs}
        key = step.graph, *shapes.values()
        if key not in self._verdicts:
            graph, proof = self._engine.exact_graph(step.graph)
            self._verdicts[key] = bring_up(graph, proof, network, shapes, step.outputs)
        if (stage.side, key) not in self._reported:
            self._reported.add((stage.side, key))
            stage.bringup.append(self._verdicts[key])
