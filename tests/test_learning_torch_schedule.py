"""torch's schedulers as pure functions of the position: equal to stepping them, in any order of asking."""

from __future__ import annotations

import math
import pickle
from typing import Any

import pytest
import torch
import yaml
from torch.optim import lr_scheduler

from invrec_rllib.errors import InputError
from invrec_rllib.learning import torch_schedule
from invrec_rllib.learning.torch_schedule import TorchSchedule, torch_schedulers
from invrec_rllib.timescales import Timescales, WarmUp, schedule_from_data

SCHEDULERS: dict[str, dict[str, Any]] = {
    "StepLR": {"step_size": 7, "gamma": 0.5},
    "MultiStepLR": {"milestones": [3, 11, 25], "gamma": 0.3},
    "ConstantLR": {"factor": 0.2, "total_iters": 9},
    "LinearLR": {"start_factor": 0.1, "end_factor": 0.9, "total_iters": 13},
    "ExponentialLR": {"gamma": 0.93},
    "PolynomialLR": {"total_iters": 20, "power": 1.7},
    "CosineAnnealingLR": {"T_max": 17, "eta_min": 0.002},
    "CosineAnnealingWarmRestarts": {"T_0": 6, "T_mult": 2, "eta_min": 0.001},
    "CyclicLR": {"base_lr": 0.01, "max_lr": 0.1, "step_size_up": 4, "mode": "triangular2"},
    "OneCycleLR": {"max_lr": 0.2, "total_steps": 41},
}
INITIAL = 0.05


def stepped(name: str, *, num_steps: int) -> list[float]:
    """Learning rates of a network that learns, with the scheduler stepped as torch's manual has it."""
    network = torch.nn.Linear(2, 1)
    optimizer = torch.optim.SGD(network.parameters(), lr=INITIAL, momentum=0.5)
    scheduler = getattr(lr_scheduler, name)(optimizer, **SCHEDULERS[name])
    rates = [float(optimizer.param_groups[0]["lr"])]
    for _ in range(num_steps - 1):
        optimizer.zero_grad()
        network(torch.ones(1, 2)).sum().backward()
        optimizer.step()
        scheduler.step()
        rates.append(float(optimizer.param_groups[0]["lr"]))
    return rates


@pytest.mark.parametrize("name", SCHEDULERS)
def test_values_are_those_of_stepping_the_scheduler(name: str) -> None:
    schedule = TorchSchedule(name, INITIAL, SCHEDULERS[name])
    assert [schedule(n) for n in range(41)] == stepped(name, num_steps=41)
    assert len(set(stepped(name, num_steps=41))) > 1


def test_every_scheduler_that_torch_has_is_compared_or_refused_for_a_reason() -> None:
    classes = {
        name
        for name, value in vars(lr_scheduler).items()
        if isinstance(value, type)
        and issubclass(value, lr_scheduler.LRScheduler)
        and not name.startswith("_")
    }
    assert set(torch_schedulers()) == set(SCHEDULERS)
    assert classes - {"LRScheduler"} == set(SCHEDULERS) | set(torch_schedule._REFUSED)


def test_the_order_of_asking_changes_nothing() -> None:
    schedule = TorchSchedule("CosineAnnealingWarmRestarts", INITIAL, {"T_0": 5})
    later = [schedule(n) for n in (30, 3, 17, 0)]
    torch_schedule._replay.cache_clear()
    assert later == [
        TorchSchedule("CosineAnnealingWarmRestarts", INITIAL, {"T_0": 5})(n) for n in (30, 3, 17, 0)
    ]
    assert schedule(3.9) == schedule(3)


def test_one_cycle_stays_at_its_end_where_torch_leaps_up_and_then_raises() -> None:
    schedule = TorchSchedule("OneCycleLR", INITIAL, {"max_lr": 0.2, "total_steps": 41})
    end = 0.2 / 25 / 1e4  # torch's div_factor and final_div_factor
    assert schedule(40) == pytest.approx(end)
    assert schedule(41) == schedule(1e6) == schedule(40)
    assert stepped("OneCycleLR", num_steps=42)[41] > 100 * end


def test_data_through_yaml_give_the_same_schedule() -> None:
    schedule = TorchSchedule("MultiStepLR", INITIAL, {"milestones": [3, 11]})
    data = yaml.safe_load(yaml.safe_dump(schedule.to_data()))
    assert data == {
        "kind": "torch",
        "name": "MultiStepLR",
        "initial": 0.05,
        "options": {"milestones": [3, 11]},
    }
    assert schedule_from_data(data) == schedule == pickle.loads(pickle.dumps(schedule))
    assert hash(schedule) == hash(schedule_from_data(data))
    assert schedule != TorchSchedule("MultiStepLR", INITIAL, {"milestones": [3, 12]})


def test_it_goes_where_other_schedules_go() -> None:
    step = {"kind": "torch", "name": "StepLR", "initial": 0.8, "options": {"step_size": 100}}
    warm = schedule_from_data({"kind": "warm_up", "schedule": step, "length": 4})
    assert isinstance(warm, WarmUp)
    assert warm(1) == pytest.approx(0.2)
    report = Timescales.from_data({"a": {"actor": step, "critic": 0.8}}).check(num_updates=10_000)
    verdicts = {part.name: (part.judged, part.sum_diverges, part.squares_converge) for part in report.parts}
    assert verdicts == {"a/actor": ("numeric", False, True), "a/critic": ("symbolic", True, False)}
    assert [(ratio.judged, ratio.limit, ratio.tends_to_zero) for ratio in report.ratios] == [
        ("numeric", None, True)
    ]


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("ReduceLROnPlateau", {}, "'ReduceLROnPlateau' cannot be a schedule: it follows a metric"),
        ("LambdaLR", {}, "its function is no data"),
        ("SequentialLR", {}, "it takes schedulers, which are no data"),
        ("StepLr", {}, "name = 'StepLr' must be one of ConstantLR, CosineAnnealingLR,"),
        ("LRScheduler", {}, "name = 'LRScheduler' must be one of"),
        ("StepLR", {}, "options of StepLR lacks 'step_size'; its keys are step_size, gamma"),
        ("StepLR", {"step_size": 3, "gama": 1}, "options of StepLR does not know 'gama'"),
        ("StepLR", {"step_size": 3, "last_epoch": 5}, "options of StepLR does not know 'last_epoch'"),
        ("StepLR", {"step_size": 0}, "options = {'step_size': 0} are refused by StepLR"),
        ("StepLR", {"step_size": "often"}, "options = {'step_size': 'often'} are refused by StepLR"),
        ("StepLR", [3], "options = [3] must be a mapping of StepLR's arguments"),
        ("StepLR", {"step_size": 3, "gamma": math.inf}, "must be plain data"),
        ("MultiStepLR", {"milestones": {3, 4}}, "must be plain data"),
        ("OneCycleLR", {"max_lr": 1}, "are refused by OneCycleLR: You must define either total_steps OR"),
        ("LinearLR", {"start_factor": 3}, "are refused by LinearLR: Starting multiplicative factor"),
        ("ExponentialLR", {"gamma": -1}, "ExponentialLR gives a learning rate of -0.05, not a finite one"),
    ],
)
def test_what_cannot_be_a_schedule_is_named(name: str, options: Any, message: str) -> None:
    with pytest.raises(InputError) as caught:
        TorchSchedule(name, INITIAL, options)
    assert message in str(caught.value)


def test_a_learning_rate_of_zero_is_refused() -> None:
    with pytest.raises(InputError, match="initial = 0 must be a finite number above 0"):
        TorchSchedule("ExponentialLR", 0, {"gamma": 0.5})


def test_a_position_that_would_take_hours_is_refused() -> None:
    with pytest.raises(InputError, match="position 1000000000 is beyond the 10000000 steps"):
        TorchSchedule("ExponentialLR", INITIAL, {"gamma": 0.5})(1e9)
