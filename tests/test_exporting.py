"""What is exported gives the outputs of the original: here, and in diffusers without this package."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

import denoisers
from denoisers import exporting, unet, weights
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
    eps = pipeline.unet(torch.load(images, weights_only=True), torch.load(steps, weights_only=True)).sample
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
    ("name", "shipped"),
    [("unet", None), ("unet", "patches"), ("kbnet", None), ("kbnet", "mnist-all"), *(
        (name, "random") for name in ("ffdnet", "spandrel", "deepinv:DRUNet")
    )],
)  # fmt: skip
def test_the_outputs_are_those_of_the_original(name, shipped, checkpoints, tmp_path, generator):
    options = (
        dict(checkpoints[name.partition(":")[0]]) if shipped == "random" else {"weights": shipped}
    )
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
    assert copy.card.get("warnings", []) == []
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
    found = torch.load(tmp_path / "found.pt", weights_only=True)
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


def test_other_options_are_in_the_card_and_can_be_pasted(checkpoints, tmp_path, generator):
    exporting.export(
        "deepinv:DRUNet", tmp_path, **checkpoints["deepinv"] | {"nc": "(8, 8, 16, 16)"}
    )
    card = json.loads((tmp_path / "drunet.json").read_text())
    assert card["options"] == {"nc": "(8, 8, 16, 16)", "nb": "1"}
    again = denoisers.load("deepinv:DRUNet", str(tmp_path / "drunet.safetensors"))  # without them
    original = denoisers.load("deepinv:DRUNet", **checkpoints["deepinv"])
    assert torch.equal(outputs(again, generator), outputs(original, generator))
    line = "--weights drunet.safetensors --option 'nc=(8, 8, 16, 16)' --option nb=1`"
    assert f"`bench run --denoiser deepinv:DRUNet {line}" in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize(
    ("given", "stem"),
    [
        ("dncnn-0.5", "dncnn-0.5"),
        ("x.tar.pth", "x.tar"),
        ("../../etc/passwd", "passwd"),
        ("a b\n`c`\0", "a-b-c"),
        ("...", "weights"),
        ("README", "README-weights"),
        ("model_index.pt", "model_index-weights"),
        ("n" * 300, "n" * 100),
    ],
)
def test_files_are_called_as_the_card_and_as_files_can_be(given, stem):
    assert exporting.stem_of({"name": given}) == stem


def test_weights_that_are_one_are_written_for_each_of_their_names(checkpoints, tmp_path):
    state = torch.load(checkpoints["ffdnet"]["weights"], weights_only=True)
    state["model.2.weight"] = torch.zeros_like(state["model.2.weight"])
    state["model.4.weight"] = state["model.2.weight"]  # as tied layers are saved
    torch.save(state, tmp_path / "tied.pth")
    exporting.export("ffdnet", tmp_path / "out", str(tmp_path / "tied.pth"), sigma_255="25")
    found = load_file(tmp_path / "out" / "tied.safetensors")
    assert torch.equal(found["model.2.weight"], found["model.4.weight"])


def test_what_was_said_of_the_file_that_was_read_is_not_said_of_the_new_one(checkpoints, tmp_path):
    state = torch.load(checkpoints["ffdnet"]["weights"], weights_only=True)
    averaged = {key: tensor.clone() for key, tensor in state.items()}
    torch.save({"params": state, "params_ema": averaged}, tmp_path / "two.pth")
    given = {"weights": str(tmp_path / "two.pth"), "sigma_255": "25"}
    assert denoisers.load("ffdnet", **given).card["warnings"]
    exporting.export("ffdnet", tmp_path / "out", **given)
    card = json.loads((tmp_path / "out" / "two.json").read_text())
    assert "warnings" not in card and "read_from" not in card


def test_images_of_a_pipeline_have_the_size_that_was_trained_on(tmp_path):
    state, card = weights.load(None, Path(unet.__file__).parent, "mnist")
    card = {key: value for key, value in card.items() if key != "sha256"}
    weights.save(tmp_path / "wide.safetensors", state, card | {"trained_size": [32, 48]})
    exporting.export("unet", tmp_path / "out", str(tmp_path / "wide.safetensors"))
    config = json.loads((tmp_path / "out" / "unet" / "config.json").read_text())
    assert config["sample_size"] == [32, 48]


def test_a_network_made_on_no_device_knows_its_chain(generator):
    with torch.device("meta"):
        made = unet.UNet()
    made = made.to_empty(device="cpu")
    usual = unet.UNet()
    made.load_state_dict(usual.state_dict())
    x, t = torch.randn(2, 1, 32, 32, generator=generator), torch.tensor([3.0, 800.0])
    with torch.no_grad():
        assert torch.equal(made(x, t), usual(x, t))


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
    assert bench("export", "unet", "out", "--option", "name=x")[0] == 2
    (tmp_path / "file").write_text("")
    status, _, err = bench("export", "unet", "file")
    assert (status, "error: FOLDER: a folder belongs at file" in err) == (2, True)
