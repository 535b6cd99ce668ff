"""What came of a sweep: rows, the best over seeds, settings to train again with, importance, page, folder."""

from __future__ import annotations

import csv
import io
import math
import random
from pathlib import Path
from typing import Any

import pytest

from invrec_rllib.errors import InputError, MissingExtraError
from invrec_rllib.learning.settings import load_settings
from invrec_rllib.tuning.files import dump_sweep
from invrec_rllib.tuning.folder import SweepFolder
from invrec_rllib.tuning.importance import importances
from invrec_rllib.tuning.page import context_worlds, write_sweep_report
from invrec_rllib.tuning.results import TrialRow, best_of, best_settings, group, to_csv
from invrec_rllib.tuning.running import Loggers, check_folder, fingerprints
from invrec_rllib.tuning.sweep import Sweep, make_sweep

SPACE: dict[str, Any] = {"clip": {"grid": [0.1, 0.2]}, "memory": {"grid": ["none", "gru"]}}


def sweep(**changes: Any) -> Sweep:
    return make_sweep({"name": "some", "question": "Which?", "space": SPACE, "seeds": [0, 1], **changes})


def row(configuration: dict[str, Any], seed: int, profit: float, **changes: Any) -> TrialRow:
    values = {
        "trial": f"t{len(str(configuration))}_{profit}_{seed}",
        "configuration": configuration,
        "seed": seed,
        "status": "finished",
        "profit": profit,
        "profit_best": profit + 1,
        "iterations": 10,
        "env_steps": 1000,
        "seconds": 12.34,
        "curve": ((500.0, profit - 5), (1000.0, profit)),
        **changes,
    }
    return TrialRow(**values)


A, B, C = ({"clip": clip, "memory": memory} for clip, memory in ((0.1, "none"), (0.2, "none"), (0.2, "gru")))


def test_the_best_is_the_best_mean_over_seeds_not_the_best_trial() -> None:
    rows = [row(A, 0, 100.0), row(A, 1, 0.0), row(B, 0, 60.0), row(B, 1, 70.0)]
    assert best_of(sweep(), rows)["grocery"].values == B
    assert [configuration.mean for configuration in group(rows)] == [50.0, 65.0]
    assert group(rows)[1].spread == pytest.approx(math.sqrt(50.0))


def test_a_configuration_without_all_its_seeds_is_not_the_best() -> None:
    rows = [
        row(A, 0, 1.0),
        row(A, 1, 2.0),
        row(B, 0, 60.0),
        row(C, 0, 50.0),
        row(C, 1, 90.0, status="failed"),
    ]
    assert best_of(sweep(), rows)["grocery"].values == A
    assert best_of(sweep(), rows[2:]) == {}


def test_each_scenario_has_a_best_of_its_own() -> None:
    found = sweep(space={"scenario": {"grid": ["tiny", "paper"]}, "clip": {"grid": [0.1, 0.2]}}, seeds=[0])
    rows = [
        row({"scenario": scenario, "clip": clip}, 0, profit)
        for scenario, clip, profit in (
            ("tiny", 0.1, 5.0),
            ("tiny", 0.2, 4.0),
            ("paper", 0.1, 1e3),
            ("paper", 0.2, 2e3),
        )
    ]
    assert {name: best.values["clip"] for name, best in best_of(found, rows).items()} == {
        "tiny": 0.1,
        "paper": 0.2,
    }


def test_the_best_configuration_is_a_settings_file(tmp_path: Path) -> None:
    found = sweep(
        base={"scenario": "tiny", "iterations": 7},
        space={"speed": {"grid": {"slow": {"power_inventory": 0.5}, "fast": {"power_inventory": 0.0}}}},
    )
    rows = [row({"speed": name}, seed, 1.5) for name in ("fast",) for seed in (0, 1)]
    (best,) = best_of(found, rows).values()
    file = tmp_path / "best.yaml"
    file.write_text(best_settings(found, best, currency="EUR"))
    assert load_settings(file) == found.settings({"speed": "fast", "seed": 0})
    assert load_settings(file).power_inventory == 0.0
    assert "mean 1.50 over 1.50 (seed 0), 1.50 (seed 1)" in file.read_text()


def test_the_table_of_trials_has_configuration_seed_profits_status_and_error() -> None:
    rows = [
        row(A, 0, 100.0, trial="a0"),
        row(
            B, 1, math.nan, trial="b1", status="failed", error='ValueError: "no", sorry', profit_best=math.nan
        ),
        row(A, 1, 90.0, trial="a1", status="stopped early"),
    ]
    found = list(csv.DictReader(io.StringIO(to_csv(sweep(), rows))))
    assert [line["configuration"] for line in found] == ["1", "2", "1"]
    assert found[0] == {
        "trial": "a0", "configuration": "1", "clip": "0.1", "memory": "none", "seed": "0", "status": "finished",
        "profit": "100.00", "profit_best": "101.00", "iterations": "10", "env_steps": "1000", "seconds": "12.3",
        "error": "",
    }  # fmt: skip
    assert (found[1]["profit"], found[1]["error"]) == ("", 'ValueError: "no", sorry')
    assert found[2]["status"] == "stopped early"


def test_importance_finds_the_key_that_decides_and_not_the_other() -> None:
    draws = random.Random(0)
    found = sweep(
        space={"clip": {"uniform": [0.1, 0.3]}, "entropy": {"uniform": [0.0, 1.0]}}, samples=40, seeds=[0]
    )
    rows = []
    for _ in range(40):
        clip, entropy = draws.uniform(0.1, 0.3), draws.random()
        rows.append(row({"clip": clip, "entropy": entropy}, 0, -math.exp(10 * clip)))
    first, second = importances(found, rows)
    assert (first.key, first.direction, first.share) == ("clip", pytest.approx(-1.0), pytest.approx(1.0))
    assert second.key == "entropy"
    assert second.share < 0.2
    assert second.p_value > 0.05


def test_importance_of_listed_values_is_what_lies_between_their_groups() -> None:
    rows = [row({"clip": clip, "memory": memory}, 0, profit) for clip, memory, profit in (
        (0.1, "none", 1.0), (0.1, "gru", 2.0), (0.2, "none", 3.0), (0.2, "gru", 4.0),
    )]  # fmt: skip
    shares = {one.key: one.share for one in importances(sweep(), rows)}
    # Ranks 1, 2 | 3, 4: between the groups 4 of 5; 1, 3 | 2, 4: 1 of 5.
    assert shares == {"clip": pytest.approx(0.8), "memory": pytest.approx(0.2)}
    assert importances(sweep(), rows[:3]) == []


def test_the_page_shows_best_figures_and_table(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    found = sweep()
    rows = [row(c, seed, 100.0 * c["clip"] + seed) for c in (A, B, C) for seed in (0, 1)]
    best = best_of(found, rows)
    worlds = context_worlds(found, rows, best=best, currencies={"grocery": "USD"})
    page = write_sweep_report(found, worlds, out=tmp_path / "report")
    text = page.read_text("utf-8")
    assert (
        "Best: clip=0.2 memory=none, with a profit of 20.5 USD, standard deviation 0.7 over 2 seeds." in text
    )
    assert {file.name for file in page.parent.glob("*.png")} == {
        "slice_clip.png", "slice_memory.png", "learning.png", "importance.png",
    }  # fmt: skip
    # An older page is replaced, a stranger's is not.
    assert write_sweep_report(found, worlds, out=tmp_path / "report") == page
    page.write_text("mine")
    with pytest.raises(InputError, match="not written by a report"):
        write_sweep_report(found, worlds, out=tmp_path / "report")


def test_drawn_keys_and_several_worlds_have_figures_too(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    pytest.importorskip("jinja2")
    found = sweep(
        space={"scenario": {"grid": ["tiny", "paper"]}, "clip": {"loguniform": [0.1, 0.4]}},
        samples=2,
        seeds=[0],
    )
    rows = [
        row({"scenario": scenario, "clip": clip}, 0, 100 * clip, status=status)
        for scenario in ("tiny", "paper")
        for clip, status in ((0.1, "finished"), (0.3, "unfinished"))
    ]
    worlds = context_worlds(
        found, rows, best=best_of(found, rows), currencies={"tiny": "EUR", "paper": "USD"}
    )
    page = write_sweep_report(found, worlds, out=tmp_path)
    assert {file.name for file in tmp_path.glob("*.png")} == {
        "slice_clip_tiny.png", "learning_tiny.png", "slice_clip_paper.png", "learning_paper.png",
    }  # fmt: skip
    assert "<h2>paper</h2>" in page.read_text("utf-8")


@pytest.mark.parametrize("scheme", ["", "file://", "memory://"])
def test_a_folder_is_written_read_and_pruned_wherever_it_is(scheme: str, tmp_path: Path) -> None:
    folder = SweepFolder(f"{scheme}{tmp_path}/sweeps", "some")
    assert not folder.is_taken()
    assert folder.read("sweep.yaml") is None
    folder.write("sweep.yaml", "a: é\n")
    folder.write("sweep.yaml", "b: é\n")
    assert (folder.read("sweep.yaml"), folder.is_taken(), folder.holds_tuner()) == ("b: é\n", True, False)
    (tmp_path / "page").mkdir()
    (tmp_path / "page/index.html").write_text("page")
    folder.upload(tmp_path / "page", "t1/checkpoint_000001")
    folder.upload(tmp_path / "page", "t1/report")
    folder.remove_checkpoints("t1")
    assert folder.read("t1/checkpoint_000001/index.html") is None
    assert folder.read("t1/report/index.html") == "page"
    assert (folder.local is None) == (scheme == "memory://")


def test_storage_of_no_known_kind_is_named() -> None:
    with pytest.raises(InputError, match="storage 'nowhere://x/some'"):
        SweepFolder("nowhere://x", "some")


def test_a_sweep_that_is_there_is_neither_overwritten_nor_changed(tmp_path: Path) -> None:
    folder, found = SweepFolder(tmp_path, "some"), sweep()
    check_folder(folder, found, resume=False)
    with pytest.raises(InputError, match="holds no sweep to go on with"):
        check_folder(folder, found, resume=True)
    folder.write("sweep.yaml", dump_sweep(found))
    check_folder(folder, found, resume=True)
    check_folder(folder, found, resume=False)
    folder.write("tuner.pkl", "what Tune has written")
    with pytest.raises(InputError, match=r"some exists: go on with that sweep with --resume, or .* --name"):
        check_folder(folder, found, resume=False)
    with pytest.raises(InputError, match="differs in base, seeds: a resumed sweep keeps what it was"):
        check_folder(folder, sweep(base={"iterations": 3}, seeds=[0]), resume=True)
    folder.write("worlds.json", fingerprints(found))
    check_folder(folder, found, resume=True)
    folder.write("worlds.json", "{}")
    with pytest.raises(InputError, match="differs in the content of its scenarios"):
        check_folder(folder, found, resume=True)


@pytest.mark.parametrize(
    ("loggers", "extra"), [(Loggers(wandb="p"), "wandb"), (Loggers(mlflow="u"), "mlflow")]
)
def test_a_logger_that_is_missing_names_its_extra(
    loggers: Loggers, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, extra, None)
    with pytest.raises(MissingExtraError, match=rf"pip install 'invrec-rllib\[{extra}\]'"):
        loggers.callbacks(sweep())
