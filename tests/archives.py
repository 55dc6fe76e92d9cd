"""Archives made with `zipfile`, for tests of the reader that does without it."""

from __future__ import annotations

import io
import zipfile
from typing import Any


def rezip(members: list[tuple[str, bytes]], **options: Any) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", **options) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, options.get("compression"))
    return file.getvalue()


def members(data: bytes) -> list[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return [(info.filename, archive.read(info)) for info in archive.infolist()]
