"""A run that was stopped at any moment, or whose files were changed behind its back: the same images in the end."""

import dataclasses
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

from bench import experiment, samples
from bench.progress import SILENT
from bench.runs import Run
from bench.sampling import generation, trajectory
from bench.sampling.plan import SamplingPlan
from bench.scoring import control_scores, record
from denoisers.errors import UsageError
from denoisers.files import TEMPORARY

NUM, STEPS = 24, 3


@pytest.fixture(scope="module")
def resolved(tmp_path_factory):
    """24 images in chunks of 8, made by two workers."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    options = {"dataset_name": "mnist5k", "device": "cpu", "dtype_name": "float32", "batch_size": 8}
    folder = tmp_path_factory.mktemp("resolved")
    yield experiment.resolve(
        "gaussian", SamplingPlan(num=NUM, steps=STEPS), **options, worker_count="2", out=folder
    )
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
    if samples.read(plan.run, shape, say) is None:
        plan.run.begin(plan.facts.to_json())
        experiment.made(plan, say, SILENT)
    return (plan.run.path / "samples.npz").read_bytes()


def interrupted(plan):
    """The run with all its chunks, and no samples.npz."""
    plan.run.begin(plan.facts.to_json())
    for ids in generation.chunks(NUM, plan.batch_size, STEPS):
        plan.run.write_chunk(ids, generation.generate(plan.setup(), ids)._asdict())
    return plan.run


def changed(path, **arrays):
    """Other arrays in the place of some in an npz; None takes one away."""
    with np.load(path) as file:
        content = dict(file) | arrays
    np.savez(path, **{key: value for key, value in content.items() if value is not None})


def test_chunks_that_fit_are_used(plan, whole, monkeypatch):
    interrupted(plan)
    monkeypatch.setattr(generation, "generate", None)  # nothing is left to do
    said = []
    assert generated(plan, said.append) == whole
    assert said == []  # nothing was left to resume
    assert not (plan.run.path / "chunks").exists()


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ids": np.arange(5, 13)}, "(ids 5..12, expected 0..7)"),
        ({"ids": np.arange(5)}, "(ids int64 (5,), expected int64 (8,))"),
        ({"trace": np.ones((STEPS + 1, 7))}, "(trace float64 (4, 7), expected float64 (3, 7))"),
        (
            {"images": np.zeros((8, 32, 32), np.uint8)},
            "(images uint8 (8, 32, 32), expected uint8 (8, 28, 28))",
        ),
        (
            {"images": np.zeros((8, 28, 28))},
            "(images float64 (8, 28, 28), expected uint8 (8, 28, 28))",
        ),
        (
            {"images": np.zeros((8, 28, 28), np.uint8)},
            "(its seal is of other content, or of another name)",
        ),
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
    other.begin(plan.facts.to_json())
    first = next(iter(generation.chunks(NUM, plan.batch_size, STEPS)))
    other.write_chunk(first, generation.generate(plan.setup(), first)._asdict())
    shutil.copy(other.chunk_path(first), run.chunk_path(first))
    assert generated(plan, said.append) == whole
    assert "another name" in said[0]


def test_what_is_in_the_way_is_named_before_anything_is_made(plan, monkeypatch):
    monkeypatch.setattr(generation, "generate", None)
    run = plan.run
    (run.path / "chunks" / "000000-000008.npz" / "mine").mkdir(parents=True)
    with pytest.raises(
        UsageError, match=r"a file belongs at .*000000-000008\.npz, where there is a folder"
    ):
        generated(plan)
    shutil.rmtree(run.path / "chunks")
    (run.path / "chunks").write_text("mine")
    with pytest.raises(
        UsageError, match=r"a folder belongs at .*/chunks, where there is a file; move it away"
    ):
        generated(plan)
    (run.path / "chunks").unlink()
    (run.path / "samples.npz").mkdir()
    with pytest.raises(
        UsageError, match=r"a file belongs at .*/samples\.npz, where there is a folder"
    ):
        generated(plan)
    shutil.rmtree(run.path)
    run.path.write_text("mine")
    with pytest.raises(UsageError, match=r"a folder belongs at .*, where there is a file"):
        generated(plan)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"ids": np.arange(1, NUM + 1)}, "ids 1..24, expected 0..23"),
        (
            {"arr_0": np.zeros((NUM, 28, 28), np.uint8)},
            "arr_0 uint8 (24, 28, 28), expected uint8 (24, 28, 28, 1)",
        ),
        ({"arr_0": np.zeros((NUM, 28, 28, 1), np.uint8)}, "not the images that run.json says"),
        ({"noise_std": np.zeros(3, np.float32)}, "noise_std float32 (3,), expected float32 (24,)"),
        (
            {"noise_std": np.full(NUM, np.nan, np.float32)},
            "noise_std has values that are not finite",
        ),
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
    ("text", "reason"),
    [("{", "is not readable"), ('{"id": "x"}', "of the run x"), ("[]", "found list")],
)
def test_another_run_json_is_not_believed(plan, whole, text, reason):
    assert generated(plan) == whole
    (plan.run.path / "run.json").write_text(text)
    said = []
    assert generated(plan, said.append) == whole
    assert len(said) == 1
    assert reason in said[0]
    assert plan.run.read_json("run.json")["id"] == plan.run.id


class Made:
    """What is made of a run, in this process: ids of images, how often it is scored; and what is said."""

    def __init__(self, monkeypatch):
        self.images, self.scores, self.said = [], 0, []
        self.generate = generation.generate
        monkeypatch.setattr(generation, "generate", self.some)
        monkeypatch.setattr(record.measure, "score", self.score)
        monkeypatch.setattr(control_scores, "measured", lambda *arguments: {})
        monkeypatch.setattr(record, "circumstances", dict)

    def some(self, setup, ids, *arguments, **options):
        self.images += ids
        return self.generate(setup, ids, *arguments, **options)

    def score(self, *arguments):
        self.scores += 1
        rows = pd.DataFrame(dict.fromkeys(("id", "nearest", "class", "second_class"), range(NUM)))
        ratio = 1 / np.arange(1, NUM + 1)
        rows = rows.assign(ratio=ratio, confidence=ratio, second_confidence=ratio)
        return {part: {} for part in record.PARTS}, {"fid": np.arange(3)}, rows

    def again(self, plan):
        """Run the same command; (number of images made, times scored, lines)."""
        self.images, self.scores, self.said = [], 0, []
        experiment.execute(plan, say=self.said.append)
        return len(self.images), self.scores, self.said


@pytest.fixture
def finished(plan, monkeypatch):
    """A finished run: its plan, what is made of it from now on, and the content of its files."""
    plan, made = dataclasses.replace(plan, workers=1), Made(monkeypatch)
    assert made.again(plan)[:2] == (NUM + trajectory.IDS, 1)
    content = {path.name: path.read_bytes() for path in plan.run.path.iterdir()}
    assert made.again(plan) == (0, 0, [f"complete: {plan.run.path}"])
    return plan, made, content


def half(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flipped(path):
    content = bytearray(path.read_bytes())
    content[int(0.6 * len(content))] ^= 1
    path.write_bytes(content)


def emptied(path):
    path.write_bytes(b"")


def elsewhere(path):
    path.rename(path.with_name("moved"))
    path.symlink_to("moved")
    flipped(path)


NOTHING, WAY, SCORES = (0, 0), (trajectory.IDS, 0), (0, 1)
REPAIRS = {
    "run.json": NOTHING,
    "generation.json": NOTHING,
    "trace.csv": NOTHING,
    "grid.png": NOTHING,
    "nearest.png": NOTHING,
    "mixed.png": NOTHING,
    "trajectory.npz": WAY,
    "per_sample-*.csv": SCORES,
    "replicates-*.npz": SCORES,
    "metrics-*.json": SCORES,
}


@pytest.mark.parametrize("damage", [os.remove, half, flipped, emptied, elsewhere])
def test_what_is_damaged_and_no_more_is_made_again(finished, damage):
    plan, made, content = finished
    for name, expected in REPAIRS.items():
        (path,) = plan.run.path.glob(name)
        damage(path)
        images, scores, said = made.again(plan)
        assert (images, scores) == expected, name
        # Then it looks as if it had not been scored.
        assert said or (name, damage) == ("metrics-*.json", os.remove)
        assert not any(line.startswith("complete") for line in said)
        for path in plan.run.path.glob("moved"):
            path.unlink()
        assert {path.name: path.read_bytes() for path in plan.run.path.iterdir()} == content
        assert made.again(plan) == (0, 0, [f"complete: {plan.run.path}"])


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (["run.json", "trace.csv", "grid.png"], NOTHING),
        (["generation.json", "trajectory.npz", "nearest.png"], WAY),
        (["run.json", "generation.json"], (NUM, 1)),
        (["generation.json", "trace.csv"], (NUM, 1)),
        (["samples.npz"], (NUM, 1)),
    ],
)
def test_several_files_that_are_lost(finished, names, expected):
    plan, made, content = finished
    for name in names:
        (plan.run.path / name).unlink()
    assert made.again(plan)[:2] == expected
    assert (plan.run.path / "samples.npz").read_bytes() == content["samples.npz"]
    assert {path.name for path in plan.run.path.iterdir()} == content.keys()
    assert made.again(plan) == (0, 0, [f"complete: {plan.run.path}"])


def test_a_run_json_of_another_count_is_written_again(finished):
    plan, made, content = finished
    facts = plan.run.read_json("run.json")
    plan.run.update(sampler=facts["sampler"] | {"num": 64}, nfe=1)
    assert made.again(plan)[:2] == NOTHING
    assert made.said == [
        f"{plan.run.path / 'run.json'} does not fit (not as it was written); written again"
    ]
    assert (plan.run.path / "run.json").read_bytes() == content["run.json"]


def test_the_files_of_another_count_do_not_fit(finished, tmp_path):
    """All files of a run of 8 images in the folder of one of 24."""
    plan, made, content = finished
    setting = SamplingPlan(num=8, steps=STEPS)
    other = dataclasses.replace(plan, sampling=setting, run=Run(tmp_path / "other"))
    other.run.begin(other.facts.to_json())
    experiment.made(other, pytest.fail, SILENT)
    for path in other.run.path.iterdir():
        shutil.copy(path, plan.run.path)
    assert made.again(plan)[:2] == (NUM, 1)
    assert "of the run other" in made.said[0]
    assert (plan.run.path / "samples.npz").read_bytes() == content["samples.npz"]


def test_a_run_of_earlier_versions_is_taken_as_it_is(finished):
    """Its run.json has no digest of trace.csv, and nothing holds a copy."""
    plan, made, content = finished
    facts = plan.run.read_json("run.json")
    plan.run.write_json("run.json", {key: value for key, value in facts.items() if key != "trace"})
    (plan.run.path / "generation.json").unlink()
    assert made.again(plan)[:2] == NOTHING
    assert made.again(plan) == (0, 0, [f"complete: {plan.run.path}"])
    (plan.run.path / "trace.csv").unlink()
    assert made.again(plan)[:2] == NOTHING
    assert (plan.run.path / "trace.csv").read_bytes() == content["trace.csv"]


def test_sheets_that_another_version_draws_otherwise_are_drawn_once(finished, monkeypatch):
    plan, made, _ = finished
    (plan.run.path / "grid.png").unlink()
    monkeypatch.setattr(record.sheets, "grid", lambda images, file: file.write(b"otherwise"))
    assert made.again(plan)[:2] == NOTHING
    assert (plan.run.path / "grid.png").read_bytes() == b"otherwise"
    assert made.again(plan) == (0, 0, [f"complete: {plan.run.path}"])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"table": "0"}, "it is of another table"),
        ({"samples": "0"}, "it is of other images"),
        ({"schema_version": 1}, "it is of another schema version"),
        ({"controls": None}, "it holds no controls"),
        ({"files": {}}, "is not there, or not the file that was written with it"),
    ],
)
def test_scores_of_something_else_are_made_again(finished, change, reason):
    plan, made, content = finished
    name = f"metrics-{plan.rules.fingerprint}.json"
    scores = plan.run.read_sealed_json(name) | change
    plan.run.write_sealed_json(
        name, {key: value for key, value in scores.items() if value is not None}
    )
    assert made.again(plan)[:2] == SCORES
    assert made.said[0].startswith(f"{plan.run.path / name} does not fit (")
    assert reason in made.said[0]
    assert (plan.run.path / name).read_bytes() == content[name]


def test_scores_of_another_run_are_made_again(finished, tmp_path):
    plan, made, content = finished
    name = f"metrics-{plan.rules.fingerprint}.json"
    Run(tmp_path / "other").write_sealed_json(name, plan.run.read_sealed_json(name))
    shutil.copy(tmp_path / "other" / name, plan.run.path)
    assert made.again(plan)[:2] == SCORES
    assert (plan.run.path / name).read_bytes() == content[name]


def test_a_smaller_batch_goes_on_with_what_is_there(plan, monkeypatch):
    """As a run is advised to that has no memory for larger ones."""
    interrupted(plan)
    for name in ("000000-000008.npz", "000016-000024.npz"):
        (plan.run.path / "chunks" / name).unlink()
    made = Made(monkeypatch)
    made.again(dataclasses.replace(plan, batch_size=3, workers=1))
    assert sorted(made.images) == sorted([*range(8), *range(16, 24), *range(8)])
    assert made.said[0] == "resuming: 8 of 24 images are on disk"


def test_two_workers_are_used_for_two_batches_and_one_is_said(plan, monkeypatch):
    made = Made(monkeypatch)
    made.again(dataclasses.replace(plan, batch_size=12))
    assert made.images == list(range(8))  # the trajectory; the others were made elsewhere
    assert plan.run.read_json("run.json")["cost"]["workers"] == 2
    plan.run.remove()
    made.again(dataclasses.replace(plan, batch_size=24))
    assert plan.run.read_json("run.json")["cost"]["workers"] == 1
    assert made.said[0].startswith("workers: 1 of 2, as batches of 24 images are not divided")


PLANTED = [
    "",
    "chunks",
    "..",
    "chunks/000000-000008.npz",
    "run.json",
    "generation.json",
    "trace.csv",
    "samples.npz",
]
PLANTED += [
    "trajectory.npz",
    "grid.png",
    "nearest.png",
    "mixed.png",
    "per_sample-{}.csv",
    "replicates-{}.npz",
    "metrics-{}.json",
]


@pytest.mark.parametrize("name", PLANTED)
def test_nothing_is_written_through_a_planted_link(plan, tmp_path, monkeypatch, name):
    """A folder that is a link is refused, a file that is one is replaced; what they lead to stays as it was."""
    outside, results = tmp_path / "outside", tmp_path / "results"
    outside.mkdir()
    run = Run(results / "gaussian" / plan.run.id, results)
    place = run.path / name.format(plan.rules.fingerprint)
    folder = "." not in name or name == ".."
    place = results / "gaussian" if name == ".." else place
    place.parent.mkdir(parents=True)
    if not folder:
        (outside / "mine").write_text("mine")
    place.symlink_to(outside if folder else outside / "mine")
    made = Made(monkeypatch)
    if folder:
        with pytest.raises(
            UsageError, match=r"where there is a link, which is not followed; move it away"
        ):
            made.again(dataclasses.replace(plan, run=run))
        assert list(outside.iterdir()) == []
    else:
        made.again(dataclasses.replace(plan, run=run))
        assert [path.read_text() for path in outside.iterdir()] == ["mine"]
        assert not place.is_symlink()
        assert place.parent.name == "chunks" or place.is_file()


def test_a_folder_of_results_that_is_a_link_itself_is_what_the_user_named(
    plan, tmp_path, monkeypatch
):
    (tmp_path / "large-disk").mkdir()
    (tmp_path / "results").symlink_to("large-disk")
    run = Run(tmp_path / "results" / "gaussian" / plan.run.id, tmp_path / "results")
    Made(monkeypatch).again(dataclasses.replace(plan, run=run))
    assert (tmp_path / "large-disk" / "gaussian" / run.id / "samples.npz").is_file()


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
    """Ten times anywhere in the generation: nobody is left, no file, and the bytes are the same."""
    began = time.monotonic()
    generated(plan)
    took, dice, stages = time.monotonic() - began, random.Random(0), set()
    for _ in range(10):
        plan.run.remove()
        assert killed(plan, dice.uniform(0, 1.5 * took))
        stages.add(
            (
                len(list(plan.run.path.glob("chunks/*.npz"))),
                (plan.run.path / "samples.npz").exists(),
            )
        )
        assert generated(plan) == whole
        assert not [path for path in plan.run.path.rglob("*") if TEMPORARY.fullmatch(path.name)]
        assert not (plan.run.path / "chunks").exists()
    # It was killed here and there, as far as this machine is even enough to say.
    assert len(stages) > 1
