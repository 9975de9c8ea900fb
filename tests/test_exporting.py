"""What is exported gives the outputs of the original: here, and in diffusers without this package."""

import json
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file

import denoisers
from denoisers import exporting
from denoisers.errors import UsageError
from denoisers.unet import foreign

IN_DIFFUSERS = """
import sys
sys.modules["denoisers"] = sys.modules["bench"] = None  # neither can be imported
import torch
from diffusers import DDIMPipeline, DDPMPipeline

folder, images, steps, found = sys.argv[1:]
pipeline = DDPMPipeline.from_pretrained(folder, trust_remote_code=True)
with torch.no_grad():
    eps = pipeline.unet(torch.load(images), torch.load(steps)).sample
again = DDIMPipeline(unet=pipeline.unet, scheduler=pipeline.scheduler)
again.set_progress_bar_config(disable=True)
drawn = again(batch_size=2, num_inference_steps=2, output_type="np").images
torch.save({"eps": eps, "drawn": drawn.shape, "abar": pipeline.scheduler.alphas_cumprod}, found)
"""


def outputs(denoiser, generator):
    x = torch.randn(2, denoiser.spec.in_channels, 32, 32, generator=generator.manual_seed(0))
    with torch.inference_mode():
        return denoiser(x, torch.tensor([0.1, 0.4]))


@pytest.mark.parametrize(
    ("name", "weights"),
    [("unet", None), ("unet", "patches"), ("kbnet", None), ("kbnet", "mnist-all"), *(
        (name, "random") for name in ("ffdnet", "spandrel", "deepinv:DRUNet")
    )],
)  # fmt: skip
def test_the_outputs_are_those_of_the_original(name, weights, checkpoints, tmp_path, generator):
    options = (
        dict(checkpoints[name.partition(":")[0]]) if weights == "random" else {"weights": weights}
    )
    options.pop("model", None)
    files = exporting.export(name, tmp_path / "out", **options)
    original = denoisers.load(name, **options)
    card = original.card
    again = {key: value for key, value in options.items() if key not in ("weights", "sigma_255")}
    (file,) = [
        path for path in files if path.parent == tmp_path / "out" and path.suffix == ".safetensors"
    ]
    copy = denoisers.load(name, str(file), **again)
    assert torch.equal(outputs(copy, generator), outputs(original, generator))
    assert files == [path for path in files if path.is_file()]
    assert copy.spec.in_band(copy.spec.sigma_max) and copy.spec.sigma_max == original.spec.sigma_max
    assert copy.card["exported_from"].startswith(card["name"])
    for key in card.keys() & {"summary", "licence", "command", "data", "sigma_min"}:
        assert copy.card[key] == card[key]


def test_diffusers_draws_with_it_and_needs_nothing_from_here(tmp_path, generator):
    exporting.export("unet", tmp_path / "out")
    net = denoisers.load("unet").net
    x, t = torch.randn(4, 1, 32, 32, generator=generator), torch.tensor([0.0, 10.0, 499.5, 999.0])
    torch.save(x, tmp_path / "x.pt")
    torch.save(t, tmp_path / "t.pt")
    words = [str(tmp_path / name) for name in ("out", "x.pt", "t.pt", "found.pt")]
    environment = {"HF_HOME": str(tmp_path / "hub"), "PATH": "", "HF_HUB_OFFLINE": "1"}
    done = subprocess.run(
        [sys.executable, "-c", IN_DIFFUSERS, *words],
        check=False, capture_output=True, text=True, cwd=tmp_path, env=environment,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = torch.load(tmp_path / "found.pt")
    with torch.no_grad():
        expected = net(x, t)
    assert torch.allclose(found["eps"], expected, atol=1e-4)  # in another layout of memory
    assert found["drawn"] == (2, 32, 32, 1)
    torch.testing.assert_close(
        found["abar"].double().log(), net.log_snr.sigmoid().log(), rtol=1e-4, atol=1e-6
    )


def test_the_code_for_diffusers_is_the_source_of_the_network():
    code = foreign.code()
    compile(code, foreign.MODULE, "exec")
    assert "denoisers" not in code and "bench." not in code


def test_a_folder_is_written_once_and_nothing_is_lost(tmp_path):
    first = exporting.export("kbnet", tmp_path / "out")
    before = [path.stat().st_mtime_ns for path in first]
    assert exporting.export("kbnet", tmp_path / "out") == first  # the same again
    assert len(before) == 3
    (tmp_path / "out" / "README.md").write_text("mine")
    with pytest.raises(UsageError, match=r"^FOLDER: .*README.md is there, and is another"):
        exporting.export("kbnet", tmp_path / "out")
    assert (tmp_path / "out" / "README.md").read_text() == "mine"


def test_what_is_said_by_options_goes_into_the_card(checkpoints, tmp_path):
    exporting.export("ffdnet", tmp_path, **checkpoints["ffdnet"], size="28")
    card = json.loads((tmp_path / "ffdnet.json").read_text())
    assert card["sigma_max"] == pytest.approx(75 / 127.5)
    assert card["size"] == [28, 28]
    assert load_file(tmp_path / "ffdnet.safetensors").keys()


@pytest.mark.parametrize(
    ("name", "weights", "sentence"),
    [
        ("gaussian", None, "NAME: gaussian has no weights"),
        ("median", None, "NAME: median has no weights"),
        ("deepinv:MedianFilter", None, "NAME: deepinv:MedianFilter has no weights"),
        ("splice:unet,kbnet@0.4", None, "is of two networks; export each of them"),
        ("diffusers", "folder", "reads a folder that it saved itself"),
        ("nobody", None, "unknown denoiser 'nobody'"),
        ("unet", "nowhere.pt", "no file nowhere.pt; expected one, or one of the shipped cards"),
        ("ffdnet", None, "needs them: A file with an FFDNet"),
        ("denoisers.closed_form:identity", None, "is code of your own; denoisers.weights.save"),
    ],
)
def test_what_cannot_be_exported_is_said(name, weights, sentence, tmp_path):
    with pytest.raises(UsageError, match=sentence):
        exporting.export(name, tmp_path / "out", weights)
    assert not (tmp_path / "out").exists()


def test_the_command(bench, tmp_path):
    status, out, err = bench("export", "unet", "out")
    assert status == 0, err
    assert out.splitlines()[-1] == "out/mnist.json"
    assert "out/unet/bench_unet.py" in out.splitlines()
    status, _, err = bench("run", "--denoiser", "diffusers", "--weights", "out")
    assert status == 2
    assert "BenchUNet, exported from here: --denoiser unet reads" in err
    (tmp_path / "file").write_text("")
    assert bench("export", "unet", "file")[0] == 2
