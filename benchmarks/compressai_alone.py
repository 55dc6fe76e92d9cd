"""CompressAI's picture models without the packages that only its point clouds and data sets need.

`import compressai` imports torchvision, torch_geometric, pandas and more. Its picture models use
none of them, and torchvision from PyPI does not import next to a PyTorch for the CPU. So where one
is missing, something empty stands in for it while CompressAI is imported, and not afterwards.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType
from typing import Any

NOT_NEEDED = ("einops", "pandas", "pytorch_msssim", "requests", "torch_geometric", "torchvision")


class _Empty(ModuleType):
    """A module in which every name is a class that nobody makes an object of."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.__path__ = []

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return type(name, (), {"__new__": lambda cls, *_: lambda decorated: decorated})


class _EmptyFinder:
    """Finds the missing packages, and whatever is imported from within them."""

    def __init__(self, missing: tuple[str, ...]) -> None:
        self.missing = missing

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name.partition(".")[0] not in self.missing:
            return None
        return importlib.util.spec_from_loader(name, self, is_package=True)  # type: ignore[arg-type]

    def create_module(self, spec: Any) -> ModuleType:
        return _Empty(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        pass


def import_compressai() -> ModuleType:
    """Import CompressAI.

    Raises:
        ImportError: It is not installed, or lacks what its picture models need.
    """
    missing = tuple(name for name in NOT_NEEDED if importlib.util.find_spec(name) is None)
    finder = _EmptyFinder(missing)
    sys.meta_path.append(finder)
    try:
        return importlib.import_module("compressai")
    finally:
        sys.meta_path.remove(finder)
        for name in [n for n in sys.modules if n.partition(".")[0] in missing]:
            del sys.modules[name]
