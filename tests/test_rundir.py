"""Runs on disk: nothing is lost, nothing is overwritten in silence."""

from __future__ import annotations

from pathlib import Path

import pytest

from invrec_rllib.errors import InputError
from invrec_rllib.learning.settings import TrainSettings
from invrec_rllib.rundir import RunDir, find_checkpoint, iteration_of
from invrec_rllib.scenario import load_scenario
from invrec_rllib.seals import SEAL, DamagedCheckpointWarning


def new_run(path: Path) -> RunDir:
    return RunDir.create(path, TrainSettings(scenario="tiny"), scenario=load_scenario("tiny"))


def write_marker(folder: Path) -> None:
    (folder / "marker").write_text("complete")


def test_a_folder_with_anything_in_it_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="not empty"):
        new_run(tmp_path)
    assert [file.name for file in tmp_path.iterdir()] == ["notes.txt"]


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    new_run(tmp_path / "run")
    run = RunDir.open(tmp_path / "run")
    assert run.settings() == TrainSettings(scenario="tiny")
    assert run.scenario() == load_scenario("tiny")
    run.update_manifest(seed=3)
    run.update_manifest(status="finished")
    assert run.manifest() == {"seed": 3, "status": "finished"}


def test_a_folder_without_a_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"not a run of invrec train"):
        RunDir.open(tmp_path)


def test_a_checkpoint_that_fails_half_way_does_not_count(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    run.save_checkpoint(5, write_marker)

    def fail(folder: Path) -> None:
        write_marker(folder)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        run.save_checkpoint(10, fail)
    assert iteration_of(run.latest_checkpoint()) == 5
    run.save_checkpoint(10, write_marker)
    assert iteration_of(run.latest_checkpoint()) == 10
    assert find_checkpoint(tmp_path / "run") == run.latest_checkpoint()


def test_the_two_newest_checkpoints_are_kept(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    for iteration in (5, 10, 15, 100):
        run.save_checkpoint(iteration, write_marker)
    assert [iteration_of(path) for path in sorted(run.checkpoints.iterdir())] == [15, 100]


@pytest.mark.parametrize("harm", ["cut", "lost", "changed", "seal"])
def test_a_damaged_checkpoint_is_found_and_the_one_before_it_taken(harm: str, tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    run.save_checkpoint(5, write_marker)
    newest = run.save_checkpoint(10, write_marker)
    marker = newest / "marker"
    if harm == "cut":
        marker.write_text("compl")
    elif harm == "lost":
        marker.unlink()
    elif harm == "changed":
        marker.write_text("Complete")
    else:
        (newest / SEAL).write_text('{"marker": ')
    message = rf"iteration_000010 is damaged: {SEAL if harm == 'seal' else 'marker'}.*iteration_000005 before"
    with pytest.warns(DamagedCheckpointWarning, match=message):
        assert iteration_of(run.latest_checkpoint()) == 5
    with pytest.raises(InputError, match="is damaged"):
        find_checkpoint(newest)
    # A run that goes on writes it again, and the damaged one is kept aside.
    run.forget_after(5)
    assert not newest.exists()
    (kept,) = run.checkpoints.glob("damaged_*")
    run.save_checkpoint(10, write_marker)
    assert run.latest_checkpoint() == newest
    assert kept.is_dir()


def test_where_all_checkpoints_are_damaged_the_error_names_them(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    for iteration in (5, 10):
        (run.save_checkpoint(iteration, write_marker) / "marker").unlink()
    with pytest.raises(
        InputError, match=r"iteration_000010 is damaged: marker is missing; .*iteration_000005"
    ):
        run.latest_checkpoint()


def test_files_that_were_added_are_no_damage(tmp_path: Path) -> None:
    newest = new_run(tmp_path / "run").save_checkpoint(5, write_marker)
    (newest / "notes").write_text("mine")
    assert find_checkpoint(newest) == newest


def test_a_run_without_a_checkpoint_says_so(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    with pytest.raises(InputError, match="no checkpoint yet"):
        run.latest_checkpoint()


def log_iterations(run: RunDir, last: int) -> None:
    for iteration in range(1, last + 1):
        run.append_progress({"iteration": iteration, "profit_mean": None if iteration == 1 else 1.5})
        parts = [{"iteration": iteration, "part": part, "kl_drift": None} for part in ("actor", "critic")]
        run.append_speeds(parts, [{"iteration": iteration, "ratio": 0.5}])
        run.append_result({"training_iteration": iteration})


def cells(table: Path) -> list[list[str]]:
    return [line.split(",") for line in table.read_text("utf-8").splitlines()]


def test_logs_after_the_checkpoint_are_forgotten(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    log_iterations(run, 3)
    run.forget_after(2)
    assert run.progress() == [{"iteration": "1", "profit_mean": ""}, {"iteration": "2", "profit_mean": "1.5"}]
    assert cells(run.speeds_file) == [
        ["iteration", "part", "kl_drift"],
        *([iteration, part, ""] for iteration in "12" for part in ("actor", "critic")),
    ]
    assert cells(run.separations_file) == [["iteration", "ratio"], ["1", "0.5"], ["2", "0.5"]]
    assert len(run.results_file.read_text().splitlines()) == 2
    run.forget_after(0)
    assert run.progress() == []
    assert not run.speeds_file.exists()


def test_without_parts_there_are_no_tables_of_speeds(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    run.append_speeds([], [])
    run.forget_after(3)
    assert not run.speeds_file.exists()
    assert not run.separations_file.exists()


def test_what_a_killed_write_left_does_not_stop_a_resume(tmp_path: Path) -> None:
    run = new_run(tmp_path / "run")
    log_iterations(run, 2)
    for table in (run.progress_file, run.speeds_file, run.separations_file):
        with table.open("a") as file:
            file.write("3")
    with run.results_file.open("a") as file:
        file.write('{"training_it')
    (run.checkpoints / ".part-1").mkdir()
    run.comparison_file.write_text("of the agents before")
    run.forget_after(5)
    assert [row["iteration"] for row in run.progress()] == ["1", "2"]
    assert [row[0] for row in cells(run.speeds_file)] == ["iteration", "1", "1", "2", "2"]
    assert [row[0] for row in cells(run.separations_file)] == ["iteration", "1", "2"]
    assert len(run.results_file.read_text().splitlines()) == 2
    assert list(run.checkpoints.iterdir()) == []
    assert not run.comparison_file.exists()
