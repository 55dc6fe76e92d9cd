"""The public ELIC of ten groups: the same symbols as its forward pass, told here anew."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.compressai_alone import import_compressai
from fcmrt import Decoder, Encoder
from fcmrt.errors import ExportError
from fcmrt.export import find_family, write
from fcmrt.export.exact.path import convert_path

from .elic import conv, deconv, halved, holds, in_turn, transform

NAME = "elic2022-jiang"
N, GROUPS = 12, [1, 1, 1, 1, 2, 2, 2, 2, 4, 4]
M = sum(GROUPS)
G_A, G_S = "g_a.analysis_transform", "g_s.synthesis_transform"
H_A, H_S = "h_a.reduction", "h_s.increase"
UNIT = ("branch.0", "branch.2", "branch.4")

Shapes = Iterator[tuple[str, tuple[int, ...]]]


def shapes() -> Shapes:
    """Those of its convolutions' weights, by its names; of transposed ones, inputs come first."""

    def chain(name: str, widths: list[int], kernel: int) -> Shapes:
        for i, (before, after) in enumerate(pairwise(widths)):
            yield f"{name}.{2 * i}", (after, before, kernel, kernel)

    def unit(name: str, width: int) -> Shapes:
        half = width // 2
        yield f"{name}.0", (half, width, 1, 1)
        yield f"{name}.2", (half, half, 3, 3)
        yield f"{name}.4", (width, half, 1, 1)

    def gate(name: str, width: int) -> Shapes:
        for branch in "conv_a", "conv_b":
            for k in range(3):
                yield from unit(f"{name}.{branch}.{k}.conv", width)
        yield f"{name}.conv_b.3", (width, width, 1, 1)

    for i, inputs, outputs in (0, 3, N), (4, N, N), (9, N, N), (13, N, M):
        yield f"{G_A}.{i}", (outputs, inputs, 5, 5)
    for i, inputs, outputs in (1, M, N), (5, N, N), (10, N, N), (14, N, 3):
        yield f"{G_S}.{i}", (inputs, outputs, 5, 5)
    for i in 1, 2, 3, 5, 6, 7, 10, 11, 12:
        yield from unit(f"{G_A}.{i}.branch", N)
    for i in 2, 3, 4, 7, 8, 9, 11, 12, 13:
        yield from unit(f"{G_S}.{i}.branch", N)
    for name, width in (f"{G_A}.8", N), (f"{G_A}.14", M), (f"{G_S}.0", M), (f"{G_S}.6", N):
        yield from gate(name, width)
    yield f"{H_A}.0", (N, M, 3, 3)
    yield from ((f"{H_A}.{i}", (N, N, 5, 5)) for i in (2, 4))
    yield f"{H_S}.0", (N, M, 5, 5)
    yield f"{H_S}.2", (M, M * 3 // 2, 5, 5)
    yield f"{H_S}.4", (M * 3 // 2, M * 2, 3, 3)
    for k, c in enumerate(GROUPS):
        yield f"local_context.{k}", (2 * c, c, 5, 5)
        if k:
            yield from chain(f"channel_context.{k}.fushion", [sum(GROUPS[:k]), 224, 128, 2 * c], 5)
        known = 2 * M + (2 * c if k else 0)
        widths = [2 * c * 5 // 3, 2 * c * 4 // 3, 2 * c]
        yield from chain(f"entropy_parameters_anchor.{k}.fusion", [known, *widths], 1)
        yield from chain(f"entropy_parameters_nonanchor.{k}.fusion", [known + 2 * c, *widths], 1)


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """As his training saves it, over a CompressAI before 1.2.7, and updated."""
    import_compressai()
    from compressai.entropy_models import EntropyBottleneck, GaussianConditional

    seeded = torch.Generator().manual_seed(3)
    made: dict[str, Tensor] = {}
    for name, shape in shapes():
        fan = shape[1] * shape[2] * shape[3]
        made[f"{name}.weight"] = torch.randn(shape, generator=seeded) * (2 / fan) ** 0.5
        transposed = re.fullmatch(rf"({G_S}|{H_S})\.\d+", name) is not None
        made[f"{name}.bias"] = torch.randn(shape[transposed], generator=seeded) * 0.1
    x = torch.rand(1, 3, 128, 128, generator=seeded)
    for _ in range(3):  # until the latents are not all 0
        made[f"{G_A}.13.weight"] *= 3 / analysis(made, x).std(dim=(0, 2, 3)).mean()
    z = hyper_analysis(made, analysis(made, x))
    made[f"{H_A}.4.weight"] *= 3 / z.std(dim=(0, 2, 3)).mean()
    torch.manual_seed(3)
    prior, gaussian = EntropyBottleneck(N), GaussianConditional(None)
    with torch.no_grad():
        prior.quantiles[:] = torch.linspace(-3, 3, N * 3).reshape(N, 1, 3)
    gaussian.update_scale_table(torch.exp(torch.linspace(np.log(0.11), np.log(256), 64)))
    for name, model in ("entropy_bottleneck", prior), ("gaussian_conditional", gaussian):
        for key, value in model.state_dict().items():
            older = key.replace("matrices.", "_matrix").replace("biases.", "_bias")
            made[f"{name}.{older.replace('factors.', '_factor')}"] = value
    return made


def analysis(state: dict[str, Tensor], x: Tensor) -> Tensor:
    return transform(state, x, G_A, UNIT, halved)


def hyper_analysis(state: dict[str, Tensor], y: Tensor) -> Tensor:
    z = conv(state, conv(state, y, f"{H_A}.0").relu(), f"{H_A}.2", 2).relu()
    return conv(state, z, f"{H_A}.4", 2)


@torch.no_grad()
def compress(state: dict[str, Tensor], x: Tensor) -> tuple[dict[str, Tensor], Tensor]:
    """All that is rounded, by our names of the latents, and the decoded picture."""
    y = analysis(state, x)
    medians = state["entropy_bottleneck.quantiles"][:, 0, 1].reshape(1, -1, 1, 1)
    found = {"z": (hyper_analysis(state, y) - medians).round()}
    hyper = deconv(state, found["z"] + medians, f"{H_S}.0").relu()
    hyper = deconv(state, hyper, f"{H_S}.2").relu()
    weight, bias = state[f"{H_S}.4.weight"], state[f"{H_S}.4.bias"]
    hyper = F.conv_transpose2d(hyper, weight, bias, padding=1)
    rows = torch.arange(y.shape[2])[:, None] + torch.arange(y.shape[3])
    halves = {"odd": rows % 2 == 1, "even": rows % 2 == 0}  # his anchors are the odd cells
    decoded: list[Tensor] = []
    for k, part in enumerate(y.split(GROUPS, 1)):
        known = [hyper]
        if k:
            names = [f"channel_context.{k}.fushion.{i}" for i in (0, 2, 4)]
            known = [in_turn(state, torch.cat(decoded, 1), names), hyper]
        whole = torch.zeros_like(part)
        for parity, cells in halves.items():
            who = "anchor" if parity == "odd" else "nonanchor"
            before = [] if parity == "odd" else [conv(state, whole, f"local_context.{k}")]
            names = [f"entropy_parameters_{who}.{k}.fusion.{i}" for i in (0, 2, 4)]
            _, mean = in_turn(state, torch.cat([*before, *known], 1), names).chunk(2, 1)
            found[f"y{k}_{parity}"] = (part - mean).round() * cells
            whole = whole + (found[f"y{k}_{parity}"] + mean) * cells
        decoded.append(whole)
    return found, transform(state, torch.cat(decoded, 1), G_S, UNIT, deconv).clamp(0, 1)


def test_it_codes_the_symbols_of_its_forward_pass(state: dict[str, Tensor]) -> None:
    x = torch.rand(1, 3, 128, 192, generator=torch.Generator().manual_seed(0))
    deployment = find_family(NAME)({"epoch": 7, "state_dict": state})
    holds(deployment, x, compress(state, x)[0])


def test_a_picture_lies_at_the_top_left_as_there(state: dict[str, Tensor], tmp_path: Path) -> None:
    """Where it is decoded as there, from the same symbols."""
    x = torch.rand(3, 70, 130, generator=torch.Generator().manual_seed(1))
    wanted = compress(state, F.pad(x[None], (0, 192 - 130, 0, 128 - 70)))[1][0, :, :70, :130]
    deployment = find_family(NAME)(state)
    engine = write(tmp_path / "jiang.fcmrt", deployment, name=NAME, half_weights=False)
    found = Decoder(engine).decode(Encoder(engine).encode(x.numpy()))["x"]
    assert found.shape == (3, 70, 130)
    assert np.abs(found - wanted.numpy()).mean() < 1e-3
    assert wanted.std() > 0.1


def test_an_exact_engine_has_other_networks_for_anchors(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    pictures = [
        [np.random.default_rng(seed).random((1, 3, 64, 64), np.float32)] for seed in range(2)
    ]
    deployment = find_family(NAME)(state)
    networks = convert_path(deployment, pictures)
    engine = write(tmp_path / "exact.fcmrt", deployment.with_networks(networks), name=NAME)
    assert engine.manifest.profile == "exact"
    picture = pictures[0][0][0]
    assert Decoder(engine).decode(Encoder(engine).encode(picture))["x"].shape == picture.shape


def test_names_of_its_descendants_are_understood(state: dict[str, Tensor]) -> None:
    theirs = {
        re.sub(r"^(local_context\.\d)", r"\1.fusion", key.replace("fushion", "fusion")): value
        for key, value in state.items()
        if "_quantized_cdf" not in key
    }
    assert theirs.keys() - state.keys()
    x = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(2))
    deployment = find_family(NAME)({f"module.{k}": v for k, v in theirs.items()})
    holds(deployment, x, compress(state, x)[0])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"local_context.3.weight": None}, r"not of elic2022-jiang: .*local_context\.3"),
        ({"local_context.0.weight": None}, r"it lacks 'local_context\.0\.weight'"),
        ({"local_context.0.weight": torch.tensor(1.0)}, "not of elic2022-jiang"),
        ({f"{G_A}.0.weight": torch.tensor(1.0)}, "not of elic2022-jiang"),
        ({f"{H_S}.4.weight": torch.zeros(2, 2, 3, 3)}, r"h_s\.4\.weight"),
        ({"g_a.adapter": torch.zeros(1)}, r"g_a\.adapter"),
        ({"gaussian_conditional.scale_table": torch.linspace(0.2, 9, 64)}, "scale table"),
    ],
)
def test_checkpoints_of_others_are_refused(
    state: dict[str, Tensor], change: dict[str, Tensor | None], why: str
) -> None:
    changed = {k: v for k, v in {**state, **change}.items() if v is not None}
    with pytest.raises(ExportError, match=f"(?s){why}"):
        find_family(NAME)(changed)
