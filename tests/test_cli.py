"""The commands as a user types them, on the embedded digits: what they print, write and refuse."""

import csv
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import commands
import numpy as np
import pytest
import torch
import typer
from PIL import Image

from bench import __version__, cli
from bench.cli import asking, choices, flags
from bench.cli.entry import app
from bench.sampling import plan
from bench.scoring import control_sets
from denoisers import closed_form, kbnet, registry
from denoisers.base import Denoiser, Spec

SMALL = ["--dataset", "mnist5k", "--num", "40", "--steps", "4"]


# Denoisers of the runs below; test_contract.py has all.
NAMES = ("gaussian", "ideal", "identity", "kbnet", "unet")


def read_csv(path):
    return list(csv.DictReader(path.read_text().splitlines()))


def run_folder(out: str) -> Path:
    return Path(out.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def finished(shared_home, tmp_path_factory):
    """One run of each control and of the U-Net, in one results folder."""
    out = tmp_path_factory.mktemp("finished") / "results"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BENCH_HOME", str(shared_home))
        for name in NAMES:
            status, _, err = commands.call("run", "--denoiser", name, *SMALL, "--out", out)
            assert status == 0, err
    return out


def test_a_run_writes_what_the_design_says(finished):
    for name in NAMES:
        (folder,) = (finished / name).iterdir()
        facts = json.loads((folder / "run.json").read_text())
        (mark,) = (path.stem.removeprefix("metrics-") for path in folder.glob("metrics-*.json"))
        assert sorted(path.name for path in folder.iterdir()) == [
            "generation.json",
            "grid.png",
            f"metrics-{mark}.json",
            "mixed.png",
            "nearest.png",
            f"per_sample-{mark}.csv",
            f"replicates-{mark}.npz",
            "run.json",
            "samples.npz",
            "trace.csv",
            "trajectory.npz",
        ]
        samples = np.load(folder / "samples.npz")
        assert samples["arr_0"].shape == (40, 28, 28, 1)
        assert samples["arr_0"].dtype == np.uint8
        assert samples["ids"].tolist() == list(range(40))
        assert facts["status"] == "finished"
        assert facts["schema_version"] == 2
        assert facts["cost"]["seconds"] > facts["cost"]["seconds_in_denoiser"] > 0
        rows = read_csv(folder / f"per_sample-{mark}.csv")
        assert len(rows) == 40
        assert all(0 <= float(row["ratio"]) <= 1 for row in rows)
        trace = read_csv(folder / "trace.csv")
        assert [float(trace[i]["sigma"]) for i in (0, -1)] == pytest.approx(
            [157.407, 0.0100], rel=1e-3
        )
        assert Image.open(folder / "nearest.png").size[0] > 100


def scores(finished, name):
    (path,) = (finished / name).glob("*/metrics-*.json")
    return json.loads(path.read_text())


def test_every_number_stands_beside_its_control(finished):
    found = scores(finished, "unet")
    # The others are measured for a report, or with many images.
    assert list(found["controls"]) == ["held_out"]
    for control in found["controls"].values():
        assert control["scores"].keys() == found["scores"].keys()
        assert control["memorization"].keys() == found["memorization"].keys()
    held_out = found["controls"]["held_out"]
    for name, entry in found["scores"].items():
        assert entry["n"] == held_out["scores"][name]["n"] == 40
        assert entry.keys() == {"value", "stderr", "ci95", "n", "higher_is_better"}
    assert held_out["memorization"]["pixels"]["copy_rate"]["value"] == 0
    assert sum(found["class_histogram"]) == 40


def test_the_controls_say_what_is_known_of_them(finished):
    verdicts = {
        name: scores(finished, name)["verdict"]["memorization"] for name in ("ideal", "gaussian")
    }
    assert verdicts == {"ideal": "memorizing", "gaussian": "no evidence"}
    assert scores(finished, "ideal")["memorization"]["pixels"]["copy_rate"]["value"] == 1
    fid = {name: scores(finished, name)["scores"]["fid"]["value"] for name in NAMES}
    assert fid["identity"] > fid["gaussian"] > 2 * fid["unet"]
    assert fid["gaussian"] > 2 * fid["ideal"]


def test_the_trace_of_ideal_is_calibrated(finished):
    (folder,) = (finished / "ideal").iterdir()
    for row in read_csv(folder / "trace.csv")[:-1]:
        assert float(row["sigma_hat"]) == pytest.approx(float(row["sigma"]), rel=0.05)
        assert abs(float(row["autocorrelation"])) < 0.1  # what it removes is white


@pytest.mark.usefixtures("few_control_sets")
def test_report(finished, bench, tmp_path):
    results = shutil.copytree(finished, tmp_path / "results")
    status, out, _ = bench("report", results)
    assert status == 0
    assert out.count("held-out digits") == 1
    assert out.index("unet mnist") < out.index("gaussian") < out.index("identity")
    assert max(len(line) for line in out.splitlines() if str(results) not in line) <= 80
    page = (results / "report.html").read_text()
    assert all(name in page for name in NAMES)
    assert len(read_csv(results / "report.csv")) == len(NAMES) + len(control_sets.CONTROLS)


@pytest.mark.usefixtures("few_control_sets")
def test_report_of_foreign_half_written_and_failed_runs(finished, bench, tmp_path):
    results = shutil.copytree(finished, tmp_path / "results")
    (path,) = (results / "gaussian").glob("*/metrics-*.json")
    path.unlink()
    (path,) = (results / "ideal").glob("*/metrics-*.json")
    path.write_text('{"fid"')
    (path,) = (results / "identity").glob("*/metrics-*.json")
    path.write_text("{}")
    for name, text in {
        "foreign": "[]",
        "newer": '{"schema_version": 9}',
        "failed": '{"schema_version": 2, "status": "failed", "error": "NaN"}',
    }.items():
        (results / name).mkdir()
        (results / name / "run.json").write_text(text)
    (results / "photo.png").write_bytes(b"\x89PNG")
    status, out, _ = bench("report", results)
    assert status == 0
    assert "unet" in out
    for said in (
        "resumes it",
        ".json is not readable",
        "foreign/run.json is not readable",
        "failed: NaN",
        "schema_version 9",
        "photo.png: not part of a run",
    ):
        assert said in out


def test_a_complete_run_returns_at_once(finished, bench, tmp_path):
    results = shutil.copytree(finished, tmp_path / "results")
    before = {path: path.stat().st_mtime_ns for path in results.rglob("*.*")}
    status, out, err = bench("run", "--denoiser", "unet", *SMALL, "--out", results)
    assert status == 0
    assert "complete" in err
    assert "unet mnist" in out
    assert {path: path.stat().st_mtime_ns for path in results.rglob("*.*")} == before
    status, _, err = bench(
        "run", "--denoiser", "unet", *SMALL, "--out", results, "--overwrite", "never"
    )
    assert status == 2
    assert "--overwrite: never was asked for" in err


def test_the_second_ruler_scores_the_same_images(finished, bench, tmp_path):
    results = shutil.copytree(finished, tmp_path / "results")
    (folder,) = (results / "unet").iterdir()
    samples = (folder / "samples.npz").read_bytes()
    status, out, err = bench(
        "run", "--denoiser", "unet", *SMALL, "--out", results, "--features", "lenet-b", "--json"
    )
    assert status == 0
    assert str(folder) in err.splitlines()
    assert (folder / "samples.npz").read_bytes() == samples
    assert len(list(folder.glob("metrics-*.json"))) == 2  # the first scores stay
    printed = json.loads(out)
    assert printed == json.loads((folder / f"metrics-{printed['fingerprint']}.json").read_text())
    assert printed["scores"]["fid"]["value"] == pytest.approx(
        scores(finished, "unet")["second"]["fid"]["value"]
    )


def chatty(*, train):
    """As the ideal denoiser is loaded, with a word on it."""
    print("loading a chatty denoiser")
    return closed_form.ideal(train=train)


@pytest.mark.usefixtures("few_control_sets")
def test_with_json_standard_output_is_one_document(finished, bench, tmp_path, monkeypatch):
    """Paths, progress, and what code that is not ours prints go to standard error."""
    results = shutil.copytree(finished, tmp_path / "results")
    monkeypatch.setitem(registry.BUILT_IN, "ideal", f"{__name__}:chatty")
    (samples,) = (finished / "ideal").glob("*/samples.npz")
    lines = {
        "run": ["--denoiser", "ideal", *SMALL],
        "score": [samples, "--dataset", "mnist5k"],
        "compare": ["unet", "ideal"],
        "report": [results],
        "doctor": [],
    }
    assert lines.keys() == {
        name
        for name, command in COMMANDS.items()
        if "--json" in str([p.opts for p in command.params])
    }
    for command, words in lines.items():
        status, out, err = bench(command, *words, "--json")
        assert status == 0
        assert json.loads(out)
        assert "loading a chatty" not in out
        assert ("loading a chatty denoiser" in err) == (command == "run")
        assert ("next: bench report results" in (err.splitlines() or [""])[-1]) == (
            command in ("run", "score")
        )


def test_a_run_ends_with_its_path_and_the_next_command(finished, bench, tmp_path):
    results = shutil.copytree(finished, tmp_path / "my results")
    _, out, err = bench("run", "--denoiser", "gaussian", *SMALL, "--out", results)
    assert run_folder(out).parent == results / "gaussian"
    assert err.splitlines()[-1] == f"next: bench report '{results}'"


def test_runs_are_compared_by_name(finished, bench, tmp_path):
    shutil.copytree(finished, tmp_path / "results")
    status, out, err = bench("compare", "unet", "ideal")
    assert status == 0
    assert "unet mnist and ideal: made from the same noise" in err
    assert bench("compare", "unet mnist", "ideal", finished)[1] == out
    everything = bench("compare", finished)[1]
    assert all(f"| {name} " in everything for name in ("unet mnist", "gaussian", "identity"))
    status, _, err = bench("compare", "unet", "idael")
    assert status == 2
    assert (
        "error: RUN...: 'idael' is no folder, and no run in results is called so; did you mean 'ideal'?"
        in err
    )
    assert bench("compare", "unet")[0] == 2


SLOW = {
    "run": ["--denoiser", "unet"],
    "merge": ["."],
    "sweep": ["--denoiser", "unet"],
    "report": ["."],
    "score": ["x.npz"],
    "info": ["unet"],
    "check": ["unet"],
    "gauge": ["--denoiser", "unet"],
    "study": ["ladder"],
    "train": ["unet"],
    "export": ["unet", "."],
    "doctor": [],
}


FIRST_LINES = """
import contextlib, io, json, sys
sys.modules["torch"] = None  # which cannot be imported then
from bench import cli
found = {}
for name, words in json.loads(sys.argv[1]).items():
    sys.argv = ["bench", name, *words]
    with contextlib.redirect_stderr(io.StringIO()) as err, contextlib.suppress(SystemExit):
        cli.main()
    found[name] = err.getvalue().splitlines()
print(json.dumps(found))
"""


def test_a_line_is_said_before_what_is_slow_to_import(tmp_path):
    """The imports take seconds, and none of the commands but two does without torch."""
    assert {"list", "compare", *SLOW} == COMMANDS.keys()
    code = [sys.executable, "-c", FIRST_LINES, json.dumps(SLOW)]
    found = json.loads(subprocess.run(code, check=True, cwd=tmp_path, capture_output=True).stdout)
    for name, lines in found.items():
        assert lines[0] == "loading PyTorch", name
        # The import failed.
        assert lines[-1].startswith("error: ") and "fault of bench" in lines[-1], name


HELD = """
import time
from pathlib import Path
from denoisers.closed_form import Identity

class Held(Identity):
    def forward(self, x, sigma):
        while Path("held").exists() and list(Path().rglob("chunks/*.npz")):
            time.sleep(0.01)
        return x / (1 + sigma.reshape(-1, 1, 1, 1))

load = Held
"""
KILLED = ["run", "--denoiser", "held.py:load", *SMALL, "--batch-size", "8"]


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_run_resumes_to_the_same_bytes(bench, one_thread, tmp_path, how, workers):
    """Killed when the first chunk is on disk, which the denoiser waits for."""
    (tmp_path / "held.py").write_text(HELD)
    (tmp_path / "held").touch()
    life, held = os.pipe()  # the end of all that hold it is the end of the pipe
    pid = commands.start([*KILLED, "--out", "killed", "--workers", workers], held, held)
    os.close(held)
    deadline = time.monotonic() + 60
    while not list((tmp_path / "killed").rglob("chunks/*.npz")):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    os.kill(pid, how)
    with open(life) as lines:
        said = lines.read()  # to its end, when the last worker has let go of it
    assert "Traceback" not in said
    ended = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert (ended, "resumes" in said) == ((130, True) if how == signal.SIGINT else (-how, False))
    # Beside its lock.
    (folder,) = (path for path in (tmp_path / "killed").glob("*/*") if path.is_dir())
    assert not (folder / "samples.npz").exists()
    assert "resumes it" in bench("report", "killed")[1]
    (tmp_path / "held").unlink()
    status, _, err = bench(*KILLED, "--out", "killed")
    assert status == 0
    assert "resuming: 8 of 40 images are on disk" in err
    assert bench(*KILLED, "--out", "whole")[0] == 0
    (whole,) = (path for path in (tmp_path / "whole").glob("*/*") if path.is_dir())
    assert (folder / "samples.npz").read_bytes() == (whole / "samples.npz").read_bytes()
    assert not (folder / "chunks").exists()


class Breaks(Denoiser):
    """Fails at the low noise levels, in the way it is told."""

    spec = Spec("breaks", "sample")

    def __init__(self, how):
        super().__init__()
        self.how = how

    def forward(self, x, sigma):
        if sigma < 1 and self.how == "memory":
            raise RuntimeError(
                "DefaultCPUAllocator: can't allocate memory: you tried to allocate 99 bytes"
            )
        return x * float("nan") if sigma < 1 else torch.zeros_like(x)


def breaks(how: str = "nan") -> Breaks:
    return Breaks(how)


def test_nan_stops_the_run_and_names_the_step(bench, monkeypatch):
    monkeypatch.setitem(registry.BUILT_IN, "breaks", f"{__name__}:breaks")
    status, _, err = bench("run", "--denoiser", "breaks", *SMALL)
    assert status == 1
    assert "NaN or infinity at step 3 of 4" in err
    assert "failed: the denoiser returned NaN" in bench("report", "results")[1]


def test_a_batch_that_does_not_fit(bench, monkeypatch):
    monkeypatch.setitem(registry.BUILT_IN, "breaks", f"{__name__}:breaks")
    status, _, err = bench("run", "--denoiser", "breaks", "--option", "how=memory", *SMALL)
    assert status == 1
    assert "--batch-size" in err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--denoiser", "unt"], "did you mean 'unet'"),
        (["--denoiser", ""], "--denoiser: is empty"),
        (["--denoiser", "splice:unet,kbnet"], "expected splice:A,B@SIGMA"),
        (["--denoiser", "splice:unet,kbnt@1"], "did you mean 'kbnet'"),
        (["--denoiser", "ffdnet"], "--weights: denoiser 'ffdnet' needs them"),
        (["--denoiser", "diffusers", "--weights", "nowhere"], "--weights"),
        (["--denoiser", "gmm", "--option", "components=0"], "1..500"),
        (["--denoiser", "median", "--option", "largest=4"], "odd"),
        (["--denoiser", "one-image", "--option", "index=-1"], "index"),
        (["--denoiser", "unet", "--num", "0"], "--num"),
        (["--denoiser", "unet", "--num", "-1"], "--num"),
        (["--denoiser", "unet", "--steps", "0"], "--steps"),
        (["--denoiser", "unet", "--steps", "1001"], "--steps"),
        (["--denoiser", "unet", "--batch-size", "0"], "--batch-size"),
        (["--denoiser", "unet", "--workers", "0"], "--workers"),
        (["--denoiser", "unet", "--workers", "all"], "--workers"),
        (["--denoiser", "unet", "--seed", "-1"], "--seed"),
        (["--denoiser", "unet", "--eta", "2"], "--eta"),
        (["--denoiser", "unet", "--eta", "nan"], "--eta"),
        (["--denoiser", "unet", "--sampler", "euler"], "--sampler"),
        (
            ["--denoiser", "unet", "--sampler", "ks", "--eta", "1"],
            "--eta: ks has none; it has --beta, --h0",
        ),
        (["--denoiser", "unet", "--sampler", "ks", "--beta", "0"], "--beta"),
        (["--denoiser", "unet", "--churn", "1"], "--churn: ddpm has none"),
        (["--denoiser", "unet", "--grid", "x"], "--grid"),
        (["--denoiser", "unet", "--protocol", "long"], "--protocol"),
        (["--denoiser", "unet", "--features", "dino"], "--features"),
        (["--denoiser", "unet", "--dataset", "cifar"], "--dataset: unknown 'cifar'"),
        (
            ["--denoiser", "unet", "--sigma-max", "-1"],
            "--sigma-max: must lie in >0..1000000; found -1",
        ),
        (["--denoiser", "unet", "--sigma-max", "0.001"], "--sigma-max: must be"),
        (
            ["--denoiser", "builtins:exit"],
            "--denoiser: denoiser builtins:exit is a Quitter; expected a function load",
        ),
        (["--denoiser", "torch.nn:Linear"], "is the class Linear"),
        (["--denoiser", "unet", "--data-dir", "nowhere"], "--data-dir"),
        (["--denoiser", "unet", "--device", "tpu"], "--device"),
        (["--denoiser", "unet", "--dtype", "int8"], "--dtype"),
        (["--denoiser", "unet", "--overwrite", "maybe"], "--overwrite"),
        (["--denoiser", "unet", "--weights", "nowhere.safetensors"], "--weights"),
        (["--denoiser", "unet", "--option", "speed"], "--option"),
        (["--denoiser", "unet", "--option", "speed=1"], "--option"),
        (["--denoiser", "identity", "--weights", "x"], "--weights"),
        (["--denoiser", "unet", "--out", "/proc/no"], "--out"),
        (["--denoiser", "unet", "--num", "many"], "--num"),
        (["--denoisr", "unet"], "--denoiser"),
        ([], "--denoiser"),
    ],
)
def test_wrong_arguments_end_in_one_sentence(bench, arguments, said):
    dataset = [] if {"--dataset", "--data-dir"} & set(arguments) else ["--dataset", "mnist5k"]
    status, out, err = bench("run", *arguments, *dataset)
    assert status == 2
    assert said in err
    assert out == ""
    assert not list(Path().glob("results/*/*"))


@pytest.mark.parametrize(
    ("name", "said", "expected"),
    [
        ("nowhere.py:load", "there is no file nowhere.py", 2),
        ("no_such_module:load", "No module named 'no_such_module'", 2),
        ("denoisers.closed_form:nothing", "has no 'nothing'; it has ", 2),
        ("mine.py:load", "ZeroDivisionError: division by zero", 1),
    ],
)
def test_code_that_does_not_import_is_named(bench, tmp_path, name, said, expected):
    (tmp_path / "mine.py").write_text("1 / 0\n")
    for command in (
        ["run", "--denoiser", name],
        ["check", name],
        ["info", name],
        ["gauge", "--denoiser", name],
    ):
        status, out, err = bench(*command)
        assert status == expected
        assert said in err
        assert out == ""


@pytest.mark.parametrize("where", ["import", "load", "forward"])
@pytest.mark.parametrize("what", ["sys.exit(0)", "1 / 0"])
def test_code_that_ends_the_program_or_fails_is_a_failure_named_with_it(
    bench, tmp_path, where, what
):
    """Wherever it does so: at import, when it is loaded, or when it is asked, in a worker too."""
    body = {place: what if place == where else "pass" for place in ("import", "load", "forward")}
    (tmp_path / "mine.py").write_text(
        f"import sys\nfrom denoisers.closed_form import Identity\n{body['import']}\n"
        f"class Mine(Identity):\n    def forward(self, x, sigma):\n        {body['forward']}\n        return x\n"
        f"def load():\n    {body['load']}\n    return Mine()\n"
    )
    for workers in ("1", "2"):
        status, out, err = bench(
            "run", "--denoiser", "mine.py:load", *SMALL, "--batch-size", "16", "--workers", workers
        )
        assert (status, out) == (1, "")
        assert (
            "SystemExit: 0" if "exit" in what else "ZeroDivisionError: division by zero"
        ) in err.splitlines()[-1]
        assert err.splitlines()[-1].startswith("error: ")


def test_what_comes_back_must_be_a_denoiser(bench, tmp_path):
    (tmp_path / "mine.py").write_text(
        "import torch\ndef load(): return torch.nn.Linear(1, 1)\nload2 = 3\n"
    )
    status, _, err = bench("run", "--denoiser", "mine.py:load")
    assert status == 2
    assert (
        "came back as Linear, expected a denoisers.base.Denoiser; wrap a network in ResidualDenoiser"
        in err
    )
    assert "expected a function load" in bench("run", "--denoiser", "mine.py:load2")[2]


def test_a_run_of_a_file_depends_on_its_content(bench, tmp_path):
    """The same command makes another run when the code has changed, and resumes when it has not."""
    source = "from denoisers.closed_form import Identity\ndef load(): return Identity()\n"
    runs = set()
    for text in (source, source, source + "# changed\n"):
        (tmp_path / "mine.py").write_text(text)
        status, out, err = bench("run", "--denoiser", "mine.py:load", *SMALL)
        assert status == 0
        assert ("complete" in err) == (len(runs) == 1 and text == source)
        runs.add(run_folder(out))
    assert len(runs) == 2
    assert {run.parent.name for run in runs} == {"mine.py-load"}


def test_a_run_of_ones_own_weights_depends_on_their_content(bench, tmp_path):
    """The load function does not say what they are; the run must know all the same."""
    (tmp_path / "mine.py").write_text(
        "from denoisers.closed_form import Identity\ndef load(weights): return Identity()\n"
    )
    runs = set()
    for name, content in (("a.pth", "1"), ("b.pth", "2"), ("a.pth", "3")):
        (tmp_path / name).write_text(content)
        status, out, _ = bench("run", "--denoiser", "mine.py:load", "--weights", name, *SMALL)
        assert status == 0
        runs.add(run_folder(out))
    assert len(runs) == 3


def test_a_sampler_of_ones_own(bench, tmp_path):
    """One that says nothing of its steps runs; one that returns no images is named."""
    signature = "(denoiser, x, sigmas, noise, *, clip=True, callback=None):\n    "
    (tmp_path / "mine.py").write_text(
        f"def once{signature}return denoiser(x, sigmas[0].float())\ndef no{signature}return None\npi = 3\n"
    )
    status, out, _ = bench("run", "--denoiser", "gaussian", *SMALL, "--sampler", "mine.py:once")
    assert status == 0
    facts = json.loads((run_folder(out) / "run.json").read_text())
    assert (facts["nfe"], facts["out_of_band"]) == (1, 0)
    assert run_folder(out).name.startswith("mine.py-once-ddpm-4steps")
    status, _, err = bench("run", "--denoiser", "gaussian", *SMALL, "--sampler", "mine.py:no")
    assert status == 2
    assert (
        "--sampler: the sampler returned NoneType, expected images of shape (1, 1, 32, 32)" in err
    )
    assert not list(Path().glob("results/gaussian/mine.py-no*"))  # said before anything is begun
    assert (
        "is no sampler"
        in bench("run", "--denoiser", "gaussian", *SMALL, "--sampler", "mine.py:pi")[2]
    )


def test_likelihood(bench):
    status, out, _ = bench(
        "gauge",
        "--denoiser",
        "mean",
        "--likelihood",
        "--dataset",
        "mnist5k",
        "--num",
        "4",
        "--data-dir",
        ".",
    )
    assert status == 0
    assert "| sigma 50 to 255 |" in out
    assert bench("gauge", "--denoiser", "mean", "--likelihood", "--num", "1")[0] == 2
    assert bench("gauge", "--denoiser", "mean", "--likelihood", "--images", ".")[0] == 2


def test_a_spliced_run(bench):
    status, out, err = bench("run", "--denoiser", "splice:gaussian,kbnet@0.4", *SMALL)
    assert status == 0
    assert "splice:gaussian,kbnet@0.4" in out
    assert "outside the noise band" not in err  # each part is asked within its own
    assert json.loads((run_folder(out) / "run.json").read_text())["out_of_band"] == 0


@pytest.mark.parametrize(
    ("sampler", "calls"),
    [(["--sampler", "heun"], 2 * 4 - 1), (["--sampler", "ks", "--sigma-max", "2"], 4)],
)
def test_calls_are_counted(bench, sampler, calls):
    status, out, _ = bench("run", "--denoiser", "gaussian", *SMALL, *sampler)
    assert status == 0
    folder = run_folder(out)
    assert json.loads((folder / "run.json").read_text())["nfe"] == calls
    table, _, _ = out.partition("\n\ngaussian")  # its row, and not the verdict on it
    assert [line.split()[-2] for line in table.splitlines() if line.startswith("gaussian")] == [
        str(calls)
    ]
    assert len(read_csv(folder / "trace.csv")) == 4


def test_ks_stops_early_and_says_so(bench):
    """The ideal denoiser's residual is its noise, so few of the 60 steps are needed at beta 1."""
    quick = ["--sampler", "ks", "--beta", "1", "--h0", "0.5", "--sigma-max", "2"]
    status, out, _ = bench(
        "run", "--denoiser", "ideal", "--dataset", "mnist5k", "--num", "40", "--steps", "60", *quick
    )
    assert status == 0
    facts = json.loads((run_folder(out) / "run.json").read_text())
    assert 3 < facts["nfe"] < 30
    sigmas = [float(row["sigma"]) for row in read_csv(run_folder(out) / "trace.csv")]
    assert sigmas == sorted(sigmas, reverse=True)
    assert len(sigmas) < 30
    assert (facts["unconverged"], facts["warnings"]) == (0, [])


def test_images_that_ks_gives_up_on_are_counted_and_said(bench):
    """50 steps of its usual size bring no image down to 0.01: once the run said nothing of it."""
    few = ["--sampler", "ks", "--sigma-max", "2", "--batch-size", "16"]
    for _ in ("made", "complete"):
        status, out, err = bench("run", "--denoiser", "gaussian", *SMALL, *few)
        assert status == 0
        assert (
            "warning: 40 of 40 images had not come down to sigma 0.01 when the 4 steps of ks were over"
            in err
        )
    facts = json.loads((run_folder(out) / "run.json").read_text())
    assert facts["unconverged"] == 40
    assert bench("run", "--denoiser", "gaussian", *SMALL)[2].count("warning") == 0


def test_check(bench):
    status, out, _ = bench("check", "gaussian")
    assert status == 0
    assert "gaussian conforms" in out
    status, out, _ = bench("check", "identity")
    assert status == 1
    assert "removes noise" in out
    assert "identity fails" in out


def test_out_below_a_file(bench, tmp_path):
    (tmp_path / "file").touch()
    status, _, err = bench("run", "--denoiser", "identity", *SMALL, "--out", "file/results")
    assert status == 2
    assert "cannot write into file/results" in err


def test_report_of_nothing(bench, tmp_path):
    assert bench("report", "nowhere")[0] == 2
    (tmp_path / "empty").mkdir()
    status, out, _ = bench("report", "empty")
    assert status == 0
    assert "No finished runs" in out


def test_list_and_info(bench):
    status, out, _ = bench("list")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == registry.names()
    assert json.loads(bench("info", "unet")[1])["card"]["licence"] == "MIT"
    known = json.loads(bench("info", "kbnet")[1])
    assert known["band"] == "sigma 0 to 0.3922 (0 to 50 grey levels)"
    assert known["spec"]["blind"]
    for key in ("summary", "licence", "source", "sha256", "data", "split"):
        assert known["card"][key]
    assert "spec" not in json.loads(bench("info", "spandrel")[1])
    assert "posterior mean" in json.loads(bench("info", "ideal")[1])["description"]
    assert bench("info", "nobody")[0] == 2
    assert bench("list", "animals")[0] == 2


def test_gauge(bench):
    status, out, _ = bench("gauge", "--denoiser", "identity", "--dataset", "mnist5k", "--num", "20")
    assert status == 0
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in out.splitlines()[2:]]
    # Clipping takes off half of it where the background is black.
    for sigma, std, mse, *_ in rows[:4]:
        assert float(std) == pytest.approx(float(sigma) / 2, rel=1e-3)
        assert 0.3 < float(mse) / float(std) ** 2 < 1
    assert bench("gauge", "--denoiser", "identity", "--num", "0")[0] == 2
    assert bench("gauge", "--denoiser", "identity", "--figure", "a.png")[0] == 2
    assert bench("gauge", "--denoiser", "identity", "--images", "nowhere")[0] == 2


@pytest.fixture
def photos(tmp_path, rng):
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("one.png", "two.png"):
        Image.fromarray(rng.integers(0, 256, (96, 100), dtype=np.uint8)).save(folder / name)
    return folder


def test_gauge_on_photographs(bench, photos, tmp_path):
    status, table, _ = bench(
        "gauge", "--denoiser", "identity", "--images", photos, "--figure", tmp_path / "a.png"
    )
    assert status == 0
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:5]] == ["photos"] * 3
    assert (tmp_path / "a.png").exists()
    status, _, said = bench(
        "gauge", "--denoiser", "gaussian", "--dataset", "mnist5k", "--images", photos
    )
    assert status == 2
    assert "1024 pixels" in said


def test_train_kbnet(bench, photos, tmp_path):
    train = (
        "train",
        "kbnet",
        "--name",
        "mine",
        "--data",
        photos,
        "--out",
        tmp_path,
        "--epochs",
        "1",
    )
    assert bench(*train, "--sigma", "25", "--loss", "l2")[0] == 0
    loaded = kbnet.load(str(tmp_path / "mine.safetensors"))
    assert loaded.card["command"].endswith("--sigma 25 --loss l2")
    assert loaded.spec.sigma_max == pytest.approx(25 / 127.5)
    for wrong in (["--sigma", "loud"], ["--loss", "l3"], ["--data", tmp_path / "nowhere"]):
        assert bench(*train, *wrong)[0] == 2
    assert bench("train", "unet", "--loss", "l1")[0] == 2


def test_the_words_of_choices_are_those_of_the_tables():
    """The command line has them by itself, so that help imports nothing slow."""
    from bench import experiment, recipes
    from bench.data import datasets
    from bench.reporting import exports
    from bench.sampling import execution
    from bench.sampling.samplers import SAMPLERS
    from bench.sampling.starts import STARTS
    from bench.scoring import extractors

    assert plan.PRESETS.keys() == choices.PROTOCOLS.keys()
    assert plan.GRIDS.keys() == choices.GRIDS.keys()
    assert {"noise", *STARTS} == choices.STARTS.keys()
    assert datasets.DATASETS.keys() == choices.DATASETS.keys()
    assert SAMPLERS.keys() == choices.SAMPLERS.keys()
    assert extractors.EXTRACTORS.keys() == choices.FEATURES.keys()
    assert experiment.OVERWRITE == flags.OVERWRITE
    assert execution.DTYPES == flags.DTYPES
    assert execution.COMPILE == flags.COMPILE
    assert tuple(exports.FORMATS) == flags.FORMATS
    assert {name: kind.epochs for name, kind in recipes.NETWORKS.items()} == choices.EPOCHS
    for name, setting in plan.PRESETS.items():
        assert choices.PROTOCOLS[name].startswith(
            f"{setting.num} images, {setting.steps} steps of {setting.sampler}:"
        )
    for name, member in SAMPLERS.items():
        for key in plan.SETTINGS:
            if key in member.settings:
                assert f"{key} {member.settings[key]:g}" in choices.SAMPLERS[name]


@pytest.mark.parametrize("kind", flags.KINDS)
def test_what_is_listed_is_described_in_words(bench, kind):
    status, out, _ = bench("list", kind)
    assert status == 0
    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    assert [name for name, _ in lines] == list(
        registry.names() if kind == "denoisers" else asking.listing(kind)
    )
    for _, described in lines:
        assert len(described.split()) >= 3  # no import path, no settings as Python writes them
        assert not re.search(r"^[\w.]+:\w+$|\w+\(\w+=|None", described)


COMMANDS = typer.main.get_command(app).commands


@pytest.mark.parametrize("name", ["", *COMMANDS])
def test_h_is_help_everywhere(bench, name):
    status, out, _ = bench(*[name][: bool(name)], "-h")
    assert status == 0
    assert out == bench(*[name][: bool(name)], "--help")[1]


def test_version(bench):
    assert bench("--version")[:2] == (0, f"bench {__version__}\n")


def test_every_option_of_run_says_what_it_is_in_its_group_and_what_it_is_by_default():
    listed = [flag for names in flags.PANELS.values() for flag in names]
    for option in COMMANDS["run"].params:
        assert option.help
        assert option.required or option.show_default not in (None, False), option.name
        assert (
            option.default is not None or option.required or isinstance(option.show_default, str)
        ), option.name
        assert option.opts[0] in [flag.split("/")[0] for flag in listed]
        assert option.rich_help_panel in flags.PANELS, option.name
    assert len(set(listed)) == len(listed)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["ladder", "--denoiser", "unet"],
            "--denoiser: is for samplers, convergence and band; ladder",
        ),
        (["ladder", "--seeds", "2", "--calls", "5"], "--calls: is for samplers and convergence"),
        (["samplers"], "--denoiser: is missing; samplers studies one denoiser"),
        (
            ["convergence", "--denoiser", "unet", "--members", "ddpm/ddpm"],
            "--members: is for samplers",
        ),
        (
            ["convergence", "--denoiser", "unet", "--option", "a=b", "--seeds", "2"],
            "--seeds: is for",
        ),
        (
            ["samplers", "--denoiser", "unet", "--weights", "a", "--weights", "b"],
            "--weights: takes one",
        ),
        (["samplers", "--denoiser", "unet", "--calls", ""], "--calls: is empty"),
        (["samplers", "--denoiser", "unet", "--calls", "5,"], "--calls: must be a whole number"),
        (["samplers", "--denoiser", "unet", "--calls", "0"], "--calls: must lie in 1..100000"),
        (["samplers", "--denoiser", "unet", "--calls", "2000"], "--calls: must lie in 1..1000"),
        (["convergence", "--denoiser", "unet", "--calls", "2000"], "--calls: must lie in 1..1000"),
        (["samplers", "--denoiser", "unet", "--members", "x"], "--members: must be SAMPLER/GRID"),
        (["samplers", "--denoiser", "unet", "--seeds", "0"], "--seeds: must lie in 1..1000"),
        (
            ["samplers", "--denoiser", "unet", "--seed", str(2**63 - 1), "--seeds", "2"],
            "--seed: must lie in",
        ),
        (["band"], "--denoiser: is missing"),
        (["band", "--denoiser", "unet"], "--denoiser: is the reference itself, unet"),
        (
            ["band", "--denoiser", "unet", "--reference", "x"],
            "--reference: x: unknown denoiser 'x'",
        ),
        (["band", "--denoiser", "gmm", "--weights", "a", "--weights", "b"], "--weights: takes one"),
        (["band", "--denoiser", "gmm", "--calls", "5"], "--calls: is for samplers and convergence"),
        (["ladder", "--reference", "unet"], "--reference: is for band; ladder takes none"),
        (["everything"], "NAME: unknown 'everything'; available: ladder, samplers, convergence"),
    ],
)
def test_what_a_study_does_not_take_is_said(bench, words, said):
    status, _, err = bench("study", *words, "--dataset", "mnist5k")
    assert status == 2
    assert f"error: {said}" in err


def test_a_study_of_a_denoiser_from_the_command_line(bench, tmp_path):
    words = ["--denoiser", "gaussian", "--members", "ddim/ddpm", "--calls", "3", "--num", "24"]
    status, out, err = bench("study", "samplers", *words, "--dataset", "mnist5k", "--out", "here")
    assert status == 0, err
    assert "| ddim/ddpm, 3 calls" in out
    assert (tmp_path / "here" / "samplers" / "samplers.csv").exists()


def test_help_of_epochs_says_how_many_each_network_has(bench):
    shown = " ".join(bench("train", "-h")[1].replace("│", " ").split())
    assert "unet 200, kbnet 100, lenet 8" in shown


def test_help_shows_bounds_and_choices(bench):
    status, out, _ = bench("run", "--help")
    shown = "".join(out.split())
    assert status == 0
    for said in ("6..10000000", "0..1", ">0..1000000", "ddpm|cosine|karras", "auto|1..256"):
        assert said in shown


def test_without_a_command_the_help_is_shown(bench):
    status, out, _ = bench()
    assert status == 0
    assert "is it a generative prior" in out


def test_help_is_quick_because_it_imports_nothing_slow():
    code = "import sys; from bench import cli; sys.exit(any(m in sys.modules for m in ('torch', 'numpy', 'pandas')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self):
        return True


@pytest.fixture
def default_signals():
    """What signals do to a program in the foreground: one in the background may ignore them."""
    usual = {signal.SIGINT: signal.default_int_handler}
    usual |= dict.fromkeys((signal.SIGTERM, signal.SIGHUP), signal.SIG_DFL)
    before = {number: signal.signal(number, action) for number, action in usual.items()}
    yield
    for number, action in before.items():
        signal.signal(number, action)


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize("request_", [signal.SIGINT, signal.SIGTERM])
def test_the_bar_is_gone_when_a_command_is_stopped(monkeypatch, tmp_path, request_):
    from bench import recipes

    screen = Screen()
    monkeypatch.setattr(
        recipes, "train", lambda *arguments, **options: signal.raise_signal(request_)
    )
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(sys, "argv", ["bench", "train", "lenet", "--out", str(tmp_path)])
    with pytest.raises(SystemExit):
        cli.main()
    shown = screen.getvalue()
    assert "training ..." in shown
    assert "?25" not in shown  # the cursor was never hidden
    last = shown.rpartition("\r\x1b[K")[2]
    assert last.startswith("interrupted; ")
    assert last.endswith("\n")


@pytest.mark.usefixtures("default_signals")
@pytest.mark.parametrize("request_", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_command_that_is_asked_to_stop(bench, monkeypatch, tmp_path, request_):
    """It ends by an exception, which lets everything be tidied up, and the status says which signal it was."""
    from bench import recipes
    from bench.reporting import reading

    tidied = []

    def stopped(*arguments, **options):
        try:
            signal.raise_signal(request_)
        finally:
            tidied.append(request_)

    monkeypatch.setattr(recipes, "train", stopped)
    status, _, err = bench("train", "lenet", "--out", tmp_path / "weights")
    assert (status, tidied) == (128 + request_, [request_])
    assert "the same command resumes" in err
    monkeypatch.setattr(reading, "collect", stopped)
    (tmp_path / "results").mkdir()
    assert bench("report", "results")[0] == 128 + request_
    assert tidied == [request_] * 2


def test_who_wants_quiet_gets_results_and_what_is_wrong(bench, few_control_sets):
    usual = bench("run", "--denoiser", "median", *SMALL)
    status, out, err = bench("--quiet", "run", "--denoiser", "median", *SMALL)
    assert (status, out) == (0, usual[1])
    assert [line.partition(":")[0] for line in err.splitlines()] == ["warning"]
    status, out, err = bench("-q", "run", "--denoiser", "nothing")
    assert (status, out) == (2, "")
    assert err.startswith("error: --denoiser: ")
    assert "loading PyTorch" in bench("run", "--denoiser", "nothing")[2]  # the next one is as usual


def test_help_says_what_exit_statuses_mean_and_shells_complete(bench):
    out = bench("--help")[1]
    assert "Exit status: 0 done, 1 failed, 2 wrong usage" in " ".join(out.split())
    assert "--install-completion" in out
