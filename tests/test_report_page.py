"""The report of a run: complete, interrupted, foreign."""

from __future__ import annotations

import base64
import csv
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from invrec_rllib.errors import InputError
from invrec_rllib.evaluation import Comparison, compare, rollout, save_trajectories
from invrec_rllib.policies.recommenders import stock_aware_slates
from invrec_rllib.policies.silos import SiloPolicy
from invrec_rllib.report import read_run, write_report
from invrec_rllib.scenario import Scenario, load_scenario, save_scenario

_PAIR = SiloPolicy("trained", stock_aware_slates)
_COLUMNS = (
    "iteration,env_steps,seconds,profit_mean,profit_eval_mean,fill_rate,lost_units,holding_cost,sales_units"
)


def _world() -> Scenario:
    data = load_scenario("tiny").model_dump()
    data["provenance"] = {
        "notice": "Fitted to <made-up> sales.",
        "caveats": ["Displays are per store."],
        "assumed": {"lead_time": {"value": 1, "reason": "not in the data"}},
    }
    data["currency"] = "USD"
    return Scenario.model_validate(data)


@pytest.fixture(scope="module")
def finished_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("runs") / "x"
    run.mkdir()
    world = _world()
    comparison = compare(
        world, [_PAIR, "uniform", "random"], seed=1, episodes=40, baselines=("silo", "traditional")
    )
    (run / "comparison.json").write_text(comparison.to_json())
    save_scenario(world, run / "scenario.yaml")
    episodes = {
        policy if isinstance(policy, str) else policy.name: rollout(
            world, policy, seed=1, episodes=1, record=1
        )
        for policy in (_PAIR, "silo", "traditional")
    }
    save_trajectories(
        run / "trajectory.npz", {name: result.trajectories[0] for name, result in episodes.items()}
    )
    manifest = {
        "command": "invrec train --scenario tiny --algo ppo",
        "scenario": "tiny",
        "seed": 3,
        "algo": "ppo",
        "versions": {"ray": "2.60.0", "torch": None},
        "git_revision": "0123abcd",
        "wall_seconds": 61.5,
        "hardware": {"cpus": 2},
        "status": "finished",
    }
    (run / "manifest.json").write_text(json.dumps(manifest))
    with (run / "progress.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS.split(","))
        for i in range(12):
            evaluated = 400 + 10 * i if i % 4 == 0 else ""
            writer.writerow([i + 1, 1000 * (i + 1), i, 380 + 10 * i, evaluated, 0.7 + 0.01 * i, 9, 20, 120])
    return run


@pytest.fixture
def run(finished_run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished_run, tmp_path / "run"))


def _images(html: str) -> list[bytes]:
    return [base64.b64decode(data) for data in re.findall(r'src="data:image/png;base64,([^"]+)"', html)]


def test_page_holds_every_figure_and_needs_nothing_from_outside(run: Path) -> None:
    page = write_report(run)
    html = page.read_text()
    assert page == run / "report" / "index.html"
    images = _images(html)
    written = {file.read_bytes() for file in page.parent.glob("*.png")}
    # Learning, differences, items, waterfall, and both products of the world.
    assert len(images) == 6
    assert set(images) == written
    assert all(image.startswith(b"\x89PNG") for image in images)
    assert not re.search(r'(?:src|href)="(?!data:)', html)
    assert "<script" not in html
    assert html.count('alt="') == 6


def test_headline_gives_profit_and_paired_differences_in_words(run: Path) -> None:
    html = write_report(run).read_text()
    comparison = Comparison.from_json((run / "comparison.json").read_text())
    row = comparison.row("trained")
    assert f"The trained pair earns {row.profit.mean:,.1f} [" in html
    for baseline in ("silo", "traditional"):
        percent = row.differences[baseline]["profit"].percent.mean
        assert percent > 1.0
        assert f"That is {percent:.1f} % more than {baseline}" in html


def _with_difference(run: Path, factor: float) -> str:
    """The page after scaling the trained pair's difference to the silo, its interval left as wide as it is."""
    comparison = Comparison.from_json((run / "comparison.json").read_text())
    row = comparison.row("trained")
    difference = row.differences["silo"]["profit"]

    def moved(estimate):  # type: ignore[no-untyped-def]
        shift = (factor - 1.0) * estimate.mean
        return replace(
            estimate, mean=estimate.mean + shift, low=estimate.low + shift, high=estimate.high + shift
        )

    row.differences["silo"]["profit"] = replace(
        difference, absolute=moved(difference.absolute), percent=moved(difference.percent)
    )
    (run / "comparison.json").write_text(comparison.to_json())
    return write_report(run).read_text()


def test_a_loss_is_called_less_and_a_tie_is_called_a_tie(run: Path) -> None:
    assert re.search(r"That is [\d.]+ % less than silo", _with_difference(run, -1.0))
    assert "It cannot be told apart from silo" in _with_difference(run, 0.0)


def test_page_tells_scenario_caveats_and_making_and_escapes_them(run: Path) -> None:
    html = write_report(run).read_text()
    for text in (
        "Fitted to &lt;made-up&gt; sales.",
        "Displays are per store.",
        "1: not in the data",
        "invrec train --scenario tiny --algo ppo",
        "0123abcd",
        "61.5 seconds",
        "ray 2.60.0",
        "cpus 2",
        "episodes 0 to 39 of seed 1",
    ):
        assert text in html
    assert "<made-up>" not in html
    assert "This run is not complete" not in html


def test_writing_twice_gives_the_same_files(run: Path) -> None:
    folder = write_report(run).parent
    before = {file.name: file.read_bytes() for file in folder.iterdir()}
    write_report(run)
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == before


def test_an_interrupted_run_gets_a_report_that_says_so(run: Path) -> None:
    manifest = json.loads((run / "manifest.json").read_text())
    (run / "manifest.json").write_text(json.dumps({**manifest, "status": "stopped"}))
    (run / "comparison.json").unlink()
    (run / "trajectory.npz").unlink()
    with (run / "progress.csv").open("a") as file:
        file.write("13,130")
    html = write_report(run).read_text()
    assert "This run is not complete: its status is “stopped”" in html
    assert "has not been compared" in html
    assert "comparison.json is missing." in html
    assert len(_images(html)) == 1


@pytest.mark.parametrize(
    "name", ["manifest.json", "scenario.yaml", "progress.csv", "comparison.json", "trajectory.npz"]
)
@pytest.mark.parametrize("content", [None, b"", b"\xff\x00["])
def test_any_part_may_be_missing_or_broken(run: Path, name: str, content: bytes | None) -> None:
    (run / name).unlink()
    if content is not None:
        (run / name).write_bytes(content)
    (gap,) = read_run(run).gaps
    assert gap.startswith(f"{name} {'is missing' if content is None else 'cannot be read'}")


@pytest.mark.parametrize("kept", ["manifest.json", "scenario.yaml", "comparison.json", "trajectory.npz"])
def test_one_part_alone_makes_a_report(run: Path, kept: str) -> None:
    for file in run.iterdir():
        if file.name != kept:
            file.unlink()
    html = write_report(run).read_text()
    assert "This run is not complete" in html or kept == "manifest.json"
    assert html.count("is missing.") == 4


def test_a_comparison_without_a_trained_policy_is_reported_as_such(run: Path) -> None:
    comparison = compare(_world(), ["silo", "uniform"], seed=1, episodes=5, baselines=("silo",))
    (run / "comparison.json").write_text(comparison.to_json())
    html = write_report(run).read_text()
    assert "No trained policy is among those compared" in html
    assert "waterfall" not in {file.stem for file in (run / "report").iterdir()}


def test_stale_figures_of_an_older_report_go(run: Path) -> None:
    folder = write_report(run).parent
    (run / "trajectory.npz").unlink()
    write_report(run)
    assert not list(folder.glob("episode_*.png"))


def test_files_of_others_are_not_replaced(run: Path, tmp_path: Path) -> None:
    for name in ("index.html", "learning.png"):
        folder = tmp_path / name.partition(".")[0]
        folder.mkdir()
        (folder / name).write_text("mine")
        with pytest.raises(InputError, match=f"holds {name}, not written by a report"):
            write_report(run, out=folder)
        assert [file.read_text() for file in folder.iterdir()] == ["mine"]


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not a run directory: manifest.json is missing"):
        write_report(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        write_report(tmp_path / "nowhere")


def test_progress_reads_empty_cells_as_unknown(run: Path) -> None:
    record = read_run(run)
    evaluated = record.column("profit_eval_mean")
    assert evaluated is not None
    assert np.isfinite(evaluated).sum() == 3
    assert record.column("nothing") is None
    assert record.trained == "trained"
