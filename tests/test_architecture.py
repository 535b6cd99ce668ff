"""The rooms of the package: who may import whom, by reading the source, and what stays lazy."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import invrec_rllib

PACKAGE = Path(invrec_rllib.__file__).parent
LONGEST_FILE = 400

# Data flows downwards: a room imports only rooms above it, and its own.
ROOMS = (
    "scenario",
    "sim",
    "theory",
    "policies",
    "env",
    "timescales",
    "learning",
    "rllib",
    "evaluation",
    "report",
    "seals",
    "rundir",
    "searching",
    "runlog",
    "learning_pair",
    "watcher",
    "training",
    "studies",
    "reproduction",
    "tuning",
    "benchmarks",
    "cli",
    "examples",
)
FREE = ("errors",)
# What drives RLlib's own algorithms from outside: training runs them, the benchmark measures its stock path.
USES_RLLIB = ("rllib", "learning_pair", "training", "benchmarks", "examples")
USES_TORCH = ("learning", *USES_RLLIB)
# Studies and sweeps run side by side under Ray, and leave RLlib to training.
USES_RAY = (*USES_RLLIB, "studies", "tuning", "cli")
# The simulator is pure NumPy.
SIM_MAY_IMPORT = ("numpy", "scipy.special")

Sources = Mapping[str, str]


def package_sources() -> dict[str, str]:
    """Source by dotted module path below the package, such as "sim.period"."""
    return {
        ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__"): path.read_text(
            "utf-8"
        )
        for path in sorted(PACKAGE.rglob("*.py"))
    }


def imports(source: str) -> Iterator[str]:
    """Dotted names that a module imports anywhere, functions and type checking included."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level:
                yield "relative import"
            else:
                yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in (
            "import_module",
            "require",
            "__import__",
        ):
            yield from (arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant))


def violations(sources: Sources) -> list[str]:
    """Breaches of the import rule, one line each."""
    found = []
    for module, source in sources.items():
        room = module.split(".")[0]
        if module == "__init__" or room in FREE:
            continue
        if room not in ROOMS:
            found.append(f"{module} lies in no room")
            continue
        found += [
            f"{module} imports {name}: {why}" for name in imports(source) if (why := breach(room, name))
        ]
    return found


def breach(room: str, name: str) -> str | None:
    """Why a room must not import a name; None where it may."""
    top, *rest = name.split(".")
    if name == "relative import":
        return "imports are absolute"
    if top == "invrec_rllib":
        other = rest[0] if rest else ""
        if other in FREE or other == room:
            return None
        if other not in ROOMS:
            return "not a room"
        return None if ROOMS.index(other) < ROOMS.index(room) else "lies below"
    if name.startswith("ray.rllib") and room not in USES_RLLIB:
        return "RLlib is imported in rllib alone"
    if top in ("ray", "torch") and room not in (USES_TORCH if top == "torch" else USES_RAY):
        return f"{top} does not belong here"
    standard = top in sys.stdlib_module_names
    if (
        room == "sim"
        and not standard
        and not any(name == m or name.startswith(f"{m}.") for m in SIM_MAY_IMPORT)
    ):
        return "the simulator is pure NumPy"
    return None


def test_a_room_imports_only_rooms_above_it() -> None:
    assert violations(package_sources()) == []


@pytest.mark.parametrize(
    ("module", "source", "reason"),
    [
        ("sim.period", "from invrec_rllib.env import layout", "lies below"),
        ("sim.period", "from invrec_rllib import env", "lies below"),
        ("sim.period", "import invrec_rllib.policies.base", "lies below"),
        ("sim.period", "def f():\n    from invrec_rllib.rllib.adapter import x", "lies below"),
        (
            "sim.period",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from invrec_rllib.env import x",
            "lies below",
        ),
        ("sim.period", "import importlib\nimportlib.import_module('invrec_rllib.env')", "lies below"),
        ("sim.period", "from . import state", "imports are absolute"),
        ("sim.period", "import pandas", "the simulator is pure NumPy"),
        ("sim.period", "from scipy.stats import poisson", "the simulator is pure NumPy"),
        ("scenario.schema", "from invrec_rllib.sim.params import Params", "lies below"),
        ("policies.base", "import torch", "torch does not belong here"),
        (
            "evaluation.rollout",
            "from ray.rllib.core.columns import Columns",
            "RLlib is imported in rllib alone",
        ),
        ("learning.losses", "import ray", "ray does not belong here"),
        ("rllib.adapter", "from invrec_rllib.evaluation import rollout", "lies below"),
        ("env.world", "from invrec_rllib.utils import x", "not a room"),
        ("utils", "x = 1", "lies in no room"),
    ],
)
def test_the_rule_rejects_a_breach(module: str, source: str, reason: str) -> None:
    found = violations({**package_sources(), "sim.mutant": "", module: source})
    assert any(module in line and reason in line for line in found)


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    lengths = {module: len(source.splitlines()) for module, source in package_sources().items()}
    assert {module: lines for module, lines in lengths.items() if lines > LONGEST_FILE} == {}


LIGHT = (
    "invrec_rllib",
    "invrec_rllib.scenario",
    "invrec_rllib.sim",
    "invrec_rllib.policies",
    "invrec_rllib.cli",
)


@pytest.mark.parametrize("module", LIGHT)
def test_importing_loads_neither_ray_nor_torch(module: str) -> None:
    assert loaded_by(f"import {module}") == "False False"


def test_the_check_of_what_is_loaded_sees_torch() -> None:
    assert loaded_by("import torch") == "False True"


def loaded_by(statement: str) -> str:
    code = f"{statement}; import sys; print('ray' in sys.modules, 'torch' in sys.modules)"
    # A fresh interpreter: this one may have loaded both for other tests.
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=120
    )
    return run.stdout.strip()
