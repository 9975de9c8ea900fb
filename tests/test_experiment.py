"""A run that was stopped at any moment, or whose files were changed behind its back: the same images in the end."""

import dataclasses
import json
import os
import random
import select
import shutil
import signal
import time

import numpy as np
import pandas as pd
import pytest
import torch

from bench import control_scores, experiment, generate, scoring
from bench.protocol import Protocol
from bench.runs import Run
from denoisers.errors import UsageError
from denoisers.files import TEMPORARY

NUM, STEPS = 24, 3


@pytest.fixture(scope="module")
def resolved(tmp_path_factory):
    """24 images in chunks of 8, made by two workers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    options = {"dataset_name": "mnist5k", "device": "cpu", "dtype_name": "float32", "batch_size": 4}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(generate, "CHUNK", 8)
        folder = tmp_path_factory.mktemp("resolved")
        yield experiment.resolve("gaussian", Protocol(num=NUM, steps=STEPS), **options, worker_count="2", out=folder)
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def whole(resolved):
    """The bytes of samples.npz, of a run that nothing happened to."""
    return generated(resolved)


@pytest.fixture
def plan(resolved, tmp_path):
    """The same run in an empty folder."""
    return dataclasses.replace(resolved, run=Run(tmp_path / resolved.run.id))


def generated(plan, say=lambda line: None):
    """The run with all its images, not scored."""
    plan.run.sweep()
    shape = (NUM, *plan.dataset.train.shape[1:])
    if plan.run.read_samples(shape, say) is None:
        plan.run.begin(plan.facts)
        experiment.generate_missing(plan, say, lambda done, total: lambda images: None)
    return (plan.run.path / "samples.npz").read_bytes()


def interrupted(plan):
    """The run with all its chunks, and no samples.npz."""
    plan.run.begin(plan.facts)
    for ids in generate.chunks(NUM, plan.batch_size):
        plan.run.write_chunk(ids, experiment.make_chunk(plan, None, ids))
    return plan.run


def changed(path, **arrays):
    """Other arrays in the place of some in an npz; None takes one away."""
    with np.load(path) as file:
        content = dict(file) | arrays
    np.savez(path, **{key: value for key, value in content.items() if value is not None})


def test_chunks_that_fit_are_used(plan, whole, monkeypatch):
    interrupted(plan)
    monkeypatch.setattr(generate, "generate", None)  # nothing is left to do
    said = []
    assert generated(plan, said.append) == whole
    assert said == ["resuming: 24 of 24 images are on disk"]
    assert not (plan.run.path / "chunks").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ids": np.arange(5, 13)}, "(ids 5..12, expected 0..7)"),
        ({"ids": np.arange(5)}, "(ids int64 (5,), expected int64 (8,))"),
        ({"trace": np.ones((STEPS + 1, 7))}, "(trace float64 (4, 7), expected float64 (3, 7))"),
        ({"images": np.zeros((8, 32, 32), np.uint8)}, "(images uint8 (8, 32, 32), expected uint8 (8, 28, 28))"),
        ({"images": np.zeros((8, 28, 28))}, "(images float64 (8, 28, 28), expected uint8 (8, 28, 28))"),
        ({"images": np.zeros((8, 28, 28), np.uint8)}, "(its seal is of other content, or of another name)"),
        ({"noise_std": None}, "(it holds cost, ids, images, trace, unconverged, expected"),
        ({"seal": None}, "(it has no seal"),
        (b"", "(it is not readable: it is empty"),
        (b"PK", "(it is no readable archive"),
        (b"\x93NUMPY", "(it cannot be read as arrays"),
    ],
)
def test_a_chunk_that_does_not_fit_is_made_again_and_said(plan, whole, change, reason):
    run, said = interrupted(plan), []
    path = run.path / "chunks" / "000000-000008.npz"
    path.write_bytes(change) if isinstance(change, bytes) else changed(path, **change)
    assert generated(plan, said.append) == whole
    assert said[0].startswith(f"{path} does not fit {reason}")
    assert said[1:] == ["resuming: 16 of 24 images are on disk"]


def test_a_chunk_of_another_run_does_not_fit(plan, whole, tmp_path):
    run, said = interrupted(plan), []
    other = Run(tmp_path / "gaussian" / "another")
    other.begin(plan.facts)
    first = next(iter(generate.chunks(NUM, plan.batch_size)))
    other.write_chunk(first, experiment.make_chunk(plan, None, first))
    shutil.copy(other.chunk_path(first), run.chunk_path(first))
    assert generated(plan, said.append) == whole
    assert "another name" in said[0]


def test_what_is_in_the_way_is_named_before_anything_is_made(plan, monkeypatch):
    monkeypatch.setattr(generate, "generate", None)
    run = plan.run
    (run.path / "chunks" / "000000-000008.npz" / "mine").mkdir(parents=True)
    with pytest.raises(UsageError, match=r"a file belongs at .*000000-000008\.npz, where there is a folder"):
        generated(plan)
    shutil.rmtree(run.path / "chunks")
    (run.path / "chunks").write_text("mine")
    with pytest.raises(UsageError, match=r"a folder belongs at .*/chunks, where there is a file; move it away"):
        generated(plan)
    (run.path / "chunks").unlink()
    (run.path / "samples.npz").mkdir()
    with pytest.raises(UsageError, match=r"a file belongs at .*/samples\.npz, where there is a folder"):
        generated(plan)
    shutil.rmtree(run.path)
    run.path.write_text("mine")
    with pytest.raises(UsageError, match=r"a folder belongs at .*, where there is a file"):
        generated(plan)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ids": np.arange(1, NUM + 1)}, "ids 1..24, expected 0..23"),
        ({"arr_0": np.zeros((NUM, 28, 28), np.uint8)}, "arr_0 uint8 (24, 28, 28), expected uint8 (24, 28, 28, 1)"),
        ({"arr_0": np.zeros((NUM, 28, 28, 1), np.uint8)}, "not the images that run.json says"),
        ({"noise_std": np.zeros(3, np.float32)}, "noise_std float32 (3,), expected float32 (24,)"),
        ({"noise_std": np.full(NUM, np.nan, np.float32)}, "noise_std has values that are not finite"),
        ({"noise_std": None}, "it holds arr_0, ids, expected arr_0, ids, noise_std"),
        (b"PK", "it is no readable archive"),
    ],
)
def test_samples_that_do_not_fit_are_made_again_and_said(plan, whole, change, reason):
    assert generated(plan) == whole
    path, said = plan.run.path / "samples.npz", []
    path.write_bytes(change) if isinstance(change, bytes) else changed(path, **change)
    assert generated(plan, said.append) == whole
    assert len(said) == 1
    assert said[0].startswith(f"{path} does not fit ({reason}")


def test_samples_stay_what_evaluators_expect(plan):
    generated(plan)
    with np.load(plan.run.path / "samples.npz") as samples:
        assert sorted(samples) == ["arr_0", "ids", "noise_std"]


@pytest.mark.parametrize(
    ("text", "reason"), [("{", "is not readable"), ('{"id": "x"}', "of the run x"), ("[]", "found list")]
)
def test_another_run_json_is_not_believed(plan, whole, text, reason):
    assert generated(plan) == whole
    (plan.run.path / "run.json").write_text(text)
    said = []
    assert generated(plan, said.append) == whole
    assert len(said) == 1
    assert reason in said[0]
    assert plan.run.read_json("run.json")["id"] == plan.run.id


def test_scores_that_do_not_fit_are_made_again_and_said(plan, monkeypatch):
    """Each file of a scoring, lost, damaged or exchanged; and images that changed."""

    def score(*arguments):
        rows = pd.DataFrame({"id": range(NUM), "nearest": 0, "ratio": 0.5})
        return {part: {} for part in scoring.PARTS}, {"fid": np.zeros(3)}, rows

    monkeypatch.setattr(control_scores, "measured", lambda *arguments: {})
    monkeypatch.setattr(scoring.score, "score", score)
    run, said, mark = experiment.execute(plan), [], plan.rules["fingerprint"]
    monkeypatch.setattr(scoring.score, "score", lambda *arguments: 1 / 0)
    assert experiment.execute(plan, say=said.append) == run
    assert said == [f"complete: {run.path}"]
    metrics = (run.path / f"metrics-{mark}.json").read_text()
    content = json.loads(metrics)
    damages = {
        f"metrics-{mark}.json": {
            "{": "is not readable",
            "{}": "it holds no scores",
            json.dumps({k: v for k, v in content.items() if k != "controls"}): "it holds no controls",
            json.dumps(content | {"table": "0"}): "it is of another table",
            json.dumps(content | {"samples": "0"}): "it is of other images",
            json.dumps(content | {"files": []}): "AttributeError",
            json.dumps(content | {"scores": {"fid": float("nan")}}): "NaN is no",
        },
        f"per_sample-{mark}.csv": {"id\n0\n": f"per_sample-{mark}.csv is not there, or not the file"},
        f"replicates-{mark}.npz": {"": f"replicates-{mark}.npz cannot be read"},
    }
    for name, texts in damages.items():
        before = (run.path / name).read_bytes()
        for text, reason in texts.items():
            (run.path / name).write_text(text)
            said.clear()
            with pytest.raises(ZeroDivisionError):
                experiment.execute(plan, say=said.append)
            assert said[0].startswith(f"{run.path}/metrics-{mark}.json does not fit (")
            assert reason in said[0]
        (run.path / name).write_bytes(before)
    assert experiment.execute(plan, say=said.append) == run


def killed(plan, after):
    """Whether the run, in a copy of this process, and its workers end within 2 s of a SIGKILL after so many seconds."""
    life, held = os.pipe()  # the end of all that hold it is the end of the pipe
    pid = os.fork()
    if pid == 0:
        try:
            generated(plan)
        finally:
            os._exit(0)
    os.close(held)
    time.sleep(after)
    os.kill(pid, signal.SIGKILL)
    ended, _, _ = select.select([life], [], [], 2)
    os.waitpid(pid, 0)
    os.close(life)
    return bool(ended)


def test_killed_at_random_and_resumed(plan, whole):
    """Twenty times anywhere in the generation: nobody is left, no file, and the bytes are the same."""
    began = time.monotonic()
    generated(plan)
    took, dice, stages = time.monotonic() - began, random.Random(0), set()
    for _ in range(20):
        plan.run.remove()
        assert killed(plan, dice.uniform(0, 1.5 * took))
        stages.add((len(list(plan.run.path.glob("chunks/*.npz"))), (plan.run.path / "samples.npz").exists()))
        assert generated(plan) == whole
        assert not [path for path in plan.run.path.rglob("*") if TEMPORARY.fullmatch(path.name)]
        assert not (plan.run.path / "chunks").exists()
    assert len(stages) > 1  # it was killed here and there, as far as this machine is even enough to say
