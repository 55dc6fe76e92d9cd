"""TensorRT plans of an engine's graphs: built for a GPU, and kept.

Both libraries, TensorRT and TensorRT-RTX, are imported only when a plan is built.
"""

from ..tensorrt.cache import PlanCache, PlanRecord
from ..tensorrt.library import LIBRARIES, PlanLibrary, find_library
from ..tensorrt.recipe import BuildOptions, Profile, Recipe
from .build import Plan, build_plans, engine_plans
from .profiles import SizeRange, card_sizes, graph_profiles

__all__ = [
    "LIBRARIES",
    "BuildOptions",
    "Plan",
    "PlanCache",
    "PlanLibrary",
    "PlanRecord",
    "Profile",
    "Recipe",
    "SizeRange",
    "build_plans",
    "card_sizes",
    "engine_plans",
    "find_library",
    "graph_profiles",
]
