"""The optional comparison with BenchMARL: what it reports where BenchMARL is installed, and what it says elsewhere."""

from __future__ import annotations

import importlib
import sys

import pytest

from invrec_rllib.errors import InputError

MODULE = "invrec_rllib.benchmarks.benchmarl_comparison"


def test_without_benchmarl_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, MODULE, raising=False)
    monkeypatch.setitem(sys.modules, "benchmarl", None)
    with pytest.raises(InputError, match="pip install benchmarl"):
        importlib.import_module(MODULE)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # TorchRL's, Ray's
def test_both_are_measured_on_the_same_batches() -> None:
    pytest.importorskip("benchmarl")
    compare = importlib.import_module(MODULE).compare_with_benchmarl
    found = compare("tiny", episodes=2, envs=(1, 2), iterations=1)
    speeds, ratios = found["env_steps_per_second"], found["ratios"]
    assert set(speeds) == {
        f"{what}_{path}"
        for what in ("sampling", "iteration")
        for path in ("mtmappo", "benchmarl_1", "benchmarl_2")
    }
    for what in ("sampling", "iteration"):
        best = max(speeds[f"{what}_benchmarl_1"], speeds[f"{what}_benchmarl_2"])
        assert ratios[f"{what}_vs_benchmarl"] == speeds[f"{what}_mtmappo"] / best
    # An iteration of theirs holds its sampling.
    assert speeds["sampling_benchmarl_1"] > speeds["iteration_benchmarl_1"]
    with pytest.raises(InputError, match=r"envs holds \[7\], which do not divide the batch of 60 env steps"):
        compare("tiny", episodes=2, envs=(1, 7))
