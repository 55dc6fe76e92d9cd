"""Makes golden packets of the engines that ship: what was coded once is decoded for ever.

    python tests/golden/make_packets.py

writes the engines' packets that are missing under tests/golden/packets; it changes none.
"""

from __future__ import annotations

import hashlib
import json
import pathlib
from typing import Any

import numpy as np

import fcmrt
from fcmrt.demo.photos import shipped_photo
from fcmrt.tasks.nanodet import NanoDet, letterbox

FOLDER = pathlib.Path(__file__).parent / "packets"
ENGINES = ("lmsfc-v1-nanodet", "lmsfc-v2-nanodet")
PHOTO = "dog.jpg"
QUALITIES = (1, 5, 9)


def describe(decoder: fcmrt.Decoder, packet: bytes) -> dict[str, Any]:
    """What a packet means: digests of its integers, latent by latent, and features in brief."""
    integers = {}
    for name, latent in decoder.integers(packet).items():
        digest = hashlib.sha256(latent.symbols.astype("<i4").tobytes())
        digest.update(np.asarray(latent.indexes).astype("<i4").tobytes())
        digest.update(b"" if latent.means is None else latent.means.astype("<i4").tobytes())
        integers[name] = digest.hexdigest()
    levels = decoder.decode(packet)
    return {"integers": integers, "features": {n: brief(level) for n, level in levels.items()}}


def brief(level: np.ndarray) -> list[float]:
    """Root mean squares of 16 groups of channels: enough to tell other features from these."""
    groups = np.array_split(np.asarray(level, np.float64), 16)
    return [round(float(np.sqrt(np.mean(group**2))), 6) for group in groups]


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    batch = NanoDet().features(letterbox(shipped_photo(PHOTO).pixels)[0])
    features = {name: level[0] for name, level in batch.items()}
    for name in ENGINES:
        target = FOLDER / f"{name}.json"
        if target.exists():
            continue
        engine = fcmrt.Engine.builtin(name)
        encoder, decoder = fcmrt.Encoder(engine), fcmrt.Decoder(engine)
        entries = {}
        for quality in QUALITIES:
            packet = encoder.encode(features, quality=quality)
            entries[str(quality)] = {"packet": packet.hex()} | describe(decoder, packet)
        target.write_text(
            json.dumps({"engine": engine.digest_hex, "packets": entries}, indent=1) + "\n", "utf-8"
        )


if __name__ == "__main__":
    main()
