"""A training by several ranks ends where that of one process does, and another number resumes it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from test_training import dropping

from denoisers import parallel
from denoisers.errors import UsageError

ROOT = Path(__file__).parents[1]
TEN_STEPS = """
import os
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

from bench import ranks
from denoisers import muon, parallel, resuming, training, updates
from denoisers.kbnet.train import train as kbnet
from denoisers.unet.train import train as unet

updates.bfloat16_is_fast = muon.bfloat16_is_fast = lambda device: False
what, out, stopped = sys.argv[1:]
training.SAVE_AFTER = 0
x = torch.rand(50, 1, 16, 16, generator=torch.Generator().manual_seed(0))
options = {"batch_size": 10, "epochs": 2}
save, take, steps = resuming.save, updates.Update.take, []
updates.Update.take = lambda self, drawn: steps.append(1) or take(self, drawn)
if stopped == "stopped":
    resuming.save = lambda *checkpoint: save(*checkpoint) or os._exit(3)
schedule, updates.learning_rate = updates.learning_rate, lambda step, steps: schedule(step, 10)
with ranks.together(ranks.world()):
    place = Path(out).with_suffix(".ckpt")
    if what == "unet":
        net, _ = unet(2 * x - 1, place, **options)
    else:
        task = {"band": (0.0, 0.2), "norm": "l1", "patch": None}
        net, _ = kbnet(x, place, **task, **options)
    if parallel.rank() == 0:
        print(len(steps))
        save_file({key: value.contiguous() for key, value in net.state_dict().items()}, out)
"""


def trained(what, out, count, stopped="", expected=10):
    script = out.with_name("ten_steps.py")
    script.write_text(TEN_STEPS)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(count)]
    done = subprocess.run(
        [sys.executable, *(launcher if count > 1 else []), str(script), what, str(out), stopped],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        check=False,
        text=True,
        timeout=300,
    )
    assert (done.returncode == 0) == (not stopped), done.stderr
    if stopped:
        return None
    assert int(done.stdout) == expected
    return load_file(out)


def apart(one, other):
    assert one.keys() == other.keys()
    return max((one[key] - other[key]).abs().max().item() for key in one)


@pytest.mark.parametrize(("what", "count"), [("unet", 2), ("kbnet", 3)])
def test_ten_steps_are_those_of_one_process(what, count, tmp_path):
    alone = trained(what, tmp_path / "alone.safetensors", 1)
    several = trained(what, tmp_path / "several.safetensors", count)
    assert apart(alone, several) < 1e-5


def test_another_number_goes_on(tmp_path):
    alone = trained("kbnet", tmp_path / "alone.safetensors", 1)
    trained("kbnet", tmp_path / "several.safetensors", 2, "stopped")
    assert (tmp_path / "several.ckpt").exists()
    resumed = trained("kbnet", tmp_path / "several.safetensors", 1, expected=5)
    assert apart(alone, resumed) < 1e-5


@pytest.fixture
def second_of_three(monkeypatch):
    monkeypatch.setattr(parallel, "size", lambda: 3)
    monkeypatch.setattr(parallel, "rank", lambda: 1)


def test_a_share_counts_as_it_is_large(second_of_three):
    (rows,), weight = parallel.share([torch.arange(10)])
    assert (rows.tolist(), weight) == ([3, 4, 5], 0.9)


def test_what_cannot_be_shared_is_refused(second_of_three):
    with pytest.raises(UsageError, match="BatchNorm1d, which sees whole batches"):
        parallel.check(dropping())
    with pytest.raises(UsageError, match=r"--batch-size: must be at least 3.*found 2"):
        parallel.share([torch.arange(2)])


def test_one_process_shares_nothing():
    net = torch.nn.Linear(2, 1)
    assert parallel.averaging(net) is net
    assert parallel.share([torch.arange(2)])[1] == 1
    assert parallel.of_first(lambda: "made") == "made"
    assert parallel.mean(torch.tensor(2.0)) == 2
    parallel.check(dropping())
