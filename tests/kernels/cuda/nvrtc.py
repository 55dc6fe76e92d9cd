"""NVRTC, the compiler that CuPy calls on a machine with a GPU; it needs neither GPU nor driver."""

from __future__ import annotations

import ctypes
import dataclasses
import importlib.util
import re
from pathlib import Path
from typing import Any

# "Compiling entry function 'NAME' for 'sm_90'", and later on what it uses.
_ENTRY = re.compile(r"Compiling entry function '(\w+)'")
_STACK = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers(?:.*?(\d+) bytes smem)?")


@dataclasses.dataclass
class Use:
    """What a kernel takes of a multiprocessor, as the assembler tells."""

    registers: int = 0
    shared_bytes: int = 0
    stack_bytes: int = 0
    spilled_bytes: int = 0


def library() -> Path | None:
    """The library in the wheel `nvidia-cuda-nvrtc`, if that is installed."""
    spec = importlib.util.find_spec("nvidia")
    folders = spec.submodule_search_locations if spec else None
    found = [path for f in folders or () for path in Path(f).glob("cu13/lib/libnvrtc.so.13")]
    return found[0] if found else None


class Compiler:
    """Compiles a source text to machine code.

    Args:
        path: What `library` found.
    """

    def __init__(self, path: Path) -> None:
        # It looks for this one by name when it first compiles.
        for builtins in path.parent.glob("libnvrtc-builtins.so.*"):
            ctypes.CDLL(str(builtins), mode=ctypes.RTLD_GLOBAL)
        self._library = ctypes.CDLL(str(path))
        self._library.nvrtcGetErrorString.restype = ctypes.c_char_p

    def _call(self, name: str, *arguments: Any) -> None:
        code = getattr(self._library, name)(*arguments)
        if code != 0:
            text = self._library.nvrtcGetErrorString(code).decode()
            raise RuntimeError(f"{name}: {text}")

    @property
    def version(self) -> str:
        major, minor = ctypes.c_int(), ctypes.c_int()
        self._call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
        return f"{major.value}.{minor.value}"

    def compile(self, source: str, architecture: int, options: tuple[str, ...]) -> dict[str, Use]:
        """What each kernel of a source uses, by its name.

        Raises:
            AssertionError: It does not compile, or with warnings.
        """
        program = ctypes.c_void_p()
        encoded = (ctypes.c_char_p(source.encode()), ctypes.c_char_p(b"kernels.cu"))
        self._call("nvrtcCreateProgram", ctypes.byref(program), *encoded, 0, None, None)
        try:
            all_options = (*options, f"-arch=sm_{architecture}", "--ptxas-options=-v")
            array = (ctypes.c_char_p * len(all_options))(*(o.encode() for o in all_options))
            code = self._library.nvrtcCompileProgram(program, len(all_options), array)
            size = ctypes.c_size_t()
            self._call("nvrtcGetProgramLogSize", program, ctypes.byref(size))
            text = ctypes.create_string_buffer(size.value)
            self._call("nvrtcGetProgramLog", program, text)
            log = text.value.decode()
            assert code == 0, log
            assert "warning" not in log, log
            return read_log(log)
        finally:
            self._call("nvrtcDestroyProgram", ctypes.byref(program))


def read_log(log: str) -> dict[str, Use]:
    """Reads what the assembler says with its option -v."""
    found: dict[str, Use] = {}
    use = Use()
    for line in log.splitlines():
        if entry := _ENTRY.search(line):
            use = found[entry[1]] = Use()
        elif stack := _STACK.search(line):
            use.stack_bytes = int(stack[1])
            use.spilled_bytes = int(stack[2]) + int(stack[3])
        elif used := _USED.search(line):
            use.registers = int(used[1])
            use.shared_bytes = int(used[2] or 0)
    return found
