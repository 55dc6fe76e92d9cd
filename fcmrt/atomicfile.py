"""Files that are there whole or not at all."""

from __future__ import annotations

import os
import pathlib
import tempfile


def replace_file(path: pathlib.Path, data: bytes, *, mode: int = 0o600) -> None:
    """Writes a file in one step, so that readers see what was there before or all of `data`.

    Args:
        path: A file that is there is replaced; its folder exists.
        data: The content.
        mode: The file's permissions.

    Raises:
        OSError: The file cannot be written; what was there before still is.
    """
    with tempfile.NamedTemporaryFile(
        dir=path.parent, prefix=f".{path.name}.", delete=False
    ) as file:
        try:
            file.write(data)
            file.close()
            pathlib.Path(file.name).chmod(mode)
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
