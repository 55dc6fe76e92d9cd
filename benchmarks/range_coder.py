"""Compiles `range_coder.cc`, which takes the place of CompressAI's coder where that is missing."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import sysconfig
import tempfile
from importlib.machinery import ExtensionFileLoader
from pathlib import Path
from typing import Any

from .coder_peers import PeerMissingError

NAME = "fcmrt_range_coder"
_SOURCE = Path(__file__).with_name("range_coder.cc")
# For the processor at hand; CompressAI's own is for any.
_FLAGS = ("-O3", "-march=native", "-std=c++17", "-shared", "-fPIC", "-fvisibility=hidden")


@functools.cache
def range_coder() -> Any:
    """Compile the module and load it; it looks like `compressai.ans`.

    Raises:
        PeerMissingError: There is no C++ compiler, or PyTorch, whose pybind11 it is compiled with,
            is not installed.
    """
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    torch = importlib.util.find_spec("torch")
    if compiler is None or torch is None or torch.origin is None:
        raise PeerMissingError("the range coder needs a C++ compiler and PyTorch's headers")
    include = Path(torch.origin).parent / "include"
    flags = [*_FLAGS, f"-I{include}", f"-I{sysconfig.get_paths()['include']}"]
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / f"{NAME}{sysconfig.get_config_var('EXT_SUFFIX')}"
        command = [compiler, *flags, str(_SOURCE), "-o", str(library)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise PeerMissingError(f"the range coder does not compile: {done.stderr[-500:]}")
        loader = ExtensionFileLoader(NAME, str(library))
        spec = importlib.util.spec_from_file_location(NAME, library, loader=loader)
        assert spec is not None
        module = importlib.util.module_from_spec(spec)
        loader.exec_module(module)
    return module
