import json
import os
import random
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest
import torch
from torch import nn

from hrlaif.errors import DataError, ModelError
from hrlaif.training import checkpoint, metrics
from hrlaif.training.checkpoint import Checkpoints, Trainee
from hrlaif.training.loop import Where, order, steps
from hrlaif.training.optimizer import Optimizer, build

SETTINGS = Optimizer(learning_rate=0.05, warmup_steps=1)


class Stopped(Exception):
    """The process ended here."""


def trainee(seed=0, dtype=torch.float32):
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 1)).to(dtype)
    return Trainee({"model": model}, build(SETTINGS, {"model": model}))


def train(folder, *, stop_after=None, every=2, keep=1, dtype=torch.float32):
    """Each step draws from every random stream there is."""
    subject = trainee(dtype=dtype)
    rows = (torch.arange(24.0).reshape(8, 3) / 10).to(dtype)
    plan = order(8, batch_size=4, epochs=2, seed=1)
    where = Where(folder, SETTINGS, Checkpoints(every=every, keep=keep))
    for step in steps("test", plan, subject, where):
        if stop_after == step.number:
            raise Stopped
        shift, scale = torch.randn(1), np.random.rand() + random.random()
        step.backward((subject.modules["model"](rows[step.batch]) * scale + shift).square().mean())
    return subject.modules["model"].state_dict()


def seeded():
    np.random.seed(5)
    random.seed(6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_four_steps_are_two_and_two_after_a_resume_bit_for_bit(tmp_path, dtype):
    seeded()
    whole = train(tmp_path / "whole", dtype=dtype)
    seeded()
    with pytest.raises(Stopped):
        # A third step was done after the save.
        train(tmp_path / "parts", stop_after=3, dtype=dtype)
    random.seed(99)
    np.random.seed(99)
    resumed = train(tmp_path / "parts", dtype=dtype)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    expected, rows = (metrics.read(tmp_path / n / "metrics.jsonl") for n in ("whole", "parts"))
    assert [row["loss"] for row in expected] == [row["loss"] for row in rows]
    assert [row["step"] for row in rows] == [1, 2, 3, 4]


def test_the_newest_are_kept_and_pinned_ones_stay(tmp_path):
    subject = trainee()
    for step in range(1, 6):
        checkpoint.save(tmp_path, step, subject, keep=2, pinned=[2])
    assert checkpoint.steps_in(tmp_path) == [2, 4, 5]
    assert checkpoint.newest(tmp_path) == tmp_path / "step_000005"


def test_an_unfinished_checkpoint_is_not_seen(tmp_path):
    checkpoint.save(tmp_path, 1, trainee())
    (tmp_path / "step_000002.partial").mkdir()
    assert checkpoint.newest(tmp_path) == tmp_path / "step_000001"


def test_extra_comes_back_with_the_step(tmp_path):
    path = checkpoint.save(tmp_path, 3, trainee(), extra={"beta": 0.05})
    assert checkpoint.restore(path, trainee(seed=1)) == {"beta": 0.05, "step": 3}


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    path = checkpoint.save(tmp_path, 1, trainee())
    other = nn.Linear(2, 2)
    with pytest.raises(DataError, match="holds other weights"):
        checkpoint.restore(path, Trainee({"model": other}, build(SETTINGS, {"model": other})))


def test_a_loss_that_is_not_finite_names_step_and_rows(tmp_path):
    subject = trainee()
    step = next(steps("test", [["row-7"]], subject, Where(tmp_path, SETTINGS)))
    loss = subject.modules["model"](torch.full((1, 3), np.nan)).sum()
    with pytest.raises(ModelError, match=r"step 1 of 1: the loss is nan on \['row-7'\].*--redo"):
        step.backward(loss, step.batch)
    assert checkpoint.newest(tmp_path) is None


def test_every_epoch_has_every_row_once_in_a_new_order():
    plan = order(5, batch_size=2, epochs=2, seed=0)
    assert [len(batch) for batch in plan] == [2, 2, 1, 2, 2, 1]
    first, second = ([r for batch in half for r in batch] for half in (plan[:3], plan[3:]))
    assert sorted(first) == sorted(second) == [0, 1, 2, 3, 4]
    assert first != second
    assert plan == order(5, batch_size=2, epochs=2, seed=0)


def test_a_torn_metrics_line_and_undone_steps_are_cut(tmp_path):
    log = tmp_path / "metrics.jsonl"
    for step in (1, 2, 3):
        metrics.append(log, {"step": step, "loss": 0.5})
    with log.open("a") as file:
        file.write('{"step": 4, "lo')
    metrics.cut(log, after=2)
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [1, 2]


SCRIPT = """
    import sys, time, torch
    from pathlib import Path
    from torch import nn
    from hrlaif.training.checkpoint import Checkpoints, Trainee
    from hrlaif.training.loop import Where, order, steps
    from hrlaif.training.optimizer import Optimizer, build
    torch.set_num_threads(1)
    torch.manual_seed(0)
    folder, pause = Path(sys.argv[1]), float(sys.argv[2])
    model = nn.Linear(3, 1)
    settings = Optimizer(learning_rate=0.01)
    subject = Trainee({"model": model}, build(settings, {"model": model}))
    rows = torch.arange(24.0).reshape(8, 3) / 10
    plan = order(8, batch_size=4, epochs=10, seed=1)
    for step in steps("killed", plan, subject, Where(folder, settings, Checkpoints(every=1))):
        time.sleep(pause)
        step.backward((model(rows[step.batch]) + torch.randn(1)).square().mean())
"""


def test_kill_9_loses_nothing_that_was_saved(tmp_path):
    script = tmp_path / "train.py"
    script.write_text(textwrap.dedent(SCRIPT))

    def command(folder, pause):
        return [sys.executable, str(script), str(folder), pause]

    subprocess.run(command(tmp_path / "whole", "0"), check=True, capture_output=True)
    victim = subprocess.Popen(
        command(tmp_path / "killed", "0.02"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    deadline = time.monotonic() + 60
    while len(metrics.read(tmp_path / "killed" / "metrics.jsonl")) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    os.kill(victim.pid, signal.SIGKILL)
    assert victim.wait() == -signal.SIGKILL
    assert 4 <= checkpoint.steps_in(tmp_path / "killed")[-1] < 20
    subprocess.run(command(tmp_path / "killed", "0"), check=True, capture_output=True)
    rows = [metrics.read(tmp_path / name / "metrics.jsonl") for name in ("whole", "killed")]
    assert [r["loss"] for r in rows[0]] == [r["loss"] for r in rows[1]]
    weights = [tmp_path / name / "step_000020/weights.safetensors" for name in ("whole", "killed")]
    assert weights[0].read_bytes() == weights[1].read_bytes()
