"""How networks are run: every way gives the plain one's images within the rounding of its arithmetic."""

import copy

import pytest
import torch
from torch import nn

import denoisers
from bench import experiment
from bench.sampling import execution, generation, networks
from bench.sampling.execution import Runner, Way, choose
from bench.sampling.plan import SamplingPlan
from bench.sampling.samplers import SAMPLERS
from denoisers import schedule
from denoisers.base import Denoiser, Spec
from denoisers.errors import UsageError
from denoisers.precision import bfloat16_is_fast
from denoisers.splice import Splice
from denoisers.wrappers import ResidualDenoiser, VPDenoiser

SHAPE = (1, 32, 32)
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
TINY = Spec("tiny", "sample", weights="tiny@0", value_range=(0.0, 1.0))


class Skipping(nn.Module):
    """A network that adds its input to what it computes, by itself."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(1, 1, 3, padding=1)

    def forward(self, x):
        return x + 0.01 * self.conv(x)


class Unknown(Denoiser):
    """A denoiser of which nothing is known but that it has weights."""

    spec = TINY

    def __init__(self):
        super().__init__()
        self.net = Skipping()

    def forward(self, x, sigma):
        return self.net(x)


def noisy(level, num=4, device="cpu"):
    generator = torch.Generator().manual_seed(1)
    ramp = torch.linspace(-1, 1, 1024).view(1, *SHAPE)
    x = ramp + level * torch.randn(num, *SHAPE, generator=generator)
    return x.to(device), torch.tensor(level, device=device)


def distance(a, b):
    return (a - b).square().mean().sqrt().item()


@pytest.mark.parametrize("name", ["unet", "kbnet", "splice:unet,kbnet@0.4"])
@torch.no_grad()
def test_cast_weights_are_as_good_as_autocast(name):
    plain = denoisers.load(name)
    cast = Runner(copy.deepcopy(plain), Way("bfloat16", cast=True), "cpu")
    usual = Runner(copy.deepcopy(plain), Way("bfloat16"), "cpu")
    for level in (0.1, 2.0, 100.0):
        x, sigma = noisy(level)
        exact = plain(x, sigma)
        error, theirs = distance(cast(x, sigma), exact), distance(usual(x, sigma), exact)
        assert 0 < error < 1.5 * theirs + 1e-6, level
    assert cast.to_json() == {"dtype": "bfloat16", "cast": True, "graph": False, "compiled": False}


def test_weights_are_cast_once():
    unet = denoisers.load("unet")
    runner = Runner(unet, Way("bfloat16", cast=True), "cpu")
    assert {p.dtype for p in unet.parameters()} == {torch.bfloat16}
    seen = []
    hook = unet.net.net.conv_in.register_forward_pre_hook(
        lambda _, args: seen.append(args[0].dtype)
    )
    runner(*noisy(1.0))
    hook.remove()
    assert seen == [torch.bfloat16]


def test_a_network_with_a_skip_of_its_own_is_not_cast():
    """Its image would be rounded to a grey level on the way; under autocast it is not."""
    assert not execution.bears_casting(ResidualDenoiser(Skipping(), TINY), SHAPE, "cpu")
    assert execution.bears_casting(denoisers.load("unet"), SHAPE, "cpu")


def test_a_network_with_something_in_float32_is_not_cast():
    net = Skipping()
    net.forward = lambda x: nn.functional.conv2d(x, torch.ones(1, 1, 1, 1))
    assert not execution.bears_casting(ResidualDenoiser(net, TINY), SHAPE, "cpu")


def test_a_part_that_is_asked_at_few_levels_is_tried_at_all():
    splice = Splice(ResidualDenoiser(Skipping(), TINY), denoisers.load("unet"), 20.0)
    assert not choose(splice, "cpu", SHAPE, 100, dtype="bfloat16").cast
    assert choose(denoisers.load("unet"), "cpu", SHAPE, 100, dtype="bfloat16").cast


class Two(VPDenoiser):
    """Derived: it asks its network for more than an answer, and a second one."""

    def __init__(self):
        abar = schedule.alphas_cumprod(schedule.linear_betas())
        super().__init__(Skipping(), abar, Spec("two", "epsilon", weights="two@0"))
        self.other = Skipping()

    def on_chain(self, x, sigma):
        return self.other(x) + self.net.conv(x)


def test_what_is_derived_is_taken_whole():
    x, sigma = noisy(0.5)
    plain = Two()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = plain(x, sigma).float()
    for compiling in ("off", "on"):
        way = choose(plain, "cpu", SHAPE, 100, "bfloat16", compiling, ours=False)
        assert way == Way("bfloat16")
        with torch.no_grad():
            assert torch.equal(Runner(Two(), way, "cpu")(x, sigma), expected)


def test_an_answer_that_is_no_image_is_for_the_sampler_to_refuse():
    net = Skipping()
    net.forward = lambda x: (x, x)
    for wrapped in (networks.Autocast(net, torch.bfloat16), networks.Cast(net, torch.bfloat16)):
        assert isinstance(wrapped(torch.zeros(1, *SHAPE)), tuple)


def test_compiled_networks_have_one_process():
    options = {"dataset_name": "mnist5k", "device": "cpu", "compiling": "on"}
    with pytest.raises(UsageError, match="must be 1") as error:
        experiment.resolve("unet", SamplingPlan(8, 2), **options, worker_count="2")
    assert error.value.about == "--workers"


@pytest.fixture
def graphs(monkeypatch):
    """`Graphs` where there is no GPU: a replay computes on what was recorded. Counts of both."""
    counts = {"recorded": 0, "replayed": 0}

    class Replay:
        def __init__(self, work):
            self.work = work

        def replay(self):
            counts["replayed"] += 1
            self.work()

    def record(self, shape, x, sigma):
        images, levels = x.clone(), sigma.clone()
        out = torch.empty_like(x)
        counts["recorded"] += 1
        work = Replay(lambda: out.copy_(self.denoiser(images, levels)))
        self.recorded[shape] = work, images, levels, out

    monkeypatch.setattr(networks.Graphs, "record", record)
    monkeypatch.setattr(networks, "never_waiting", lambda denoiser, x, sigma: denoiser(x, sigma))
    return counts


@pytest.mark.parametrize(
    ("sampler", "batch", "num"), [("ddpm", 16, 30), ("heun", 15, 29), ("ks", 12, 20)]
)
def test_batches_are_replayed_and_filled_up(graphs, sampler, batch, num):
    """The last batch lacks one or two images, and those of ks become fewer, each with levels of its own."""
    denoiser, chunks = denoisers.load("unet"), []
    member = SAMPLERS[sampler].set(h0=0.3) if sampler == "ks" else SAMPLERS[sampler]
    for called in (denoiser, networks.Graphs(denoiser, pytest.fail)):
        sigmas = schedule.ddpm_grid(20 if sampler == "ks" else 6)
        setup = generation.Setup(called, sigmas, member, 0, SHAPE, 2, batch)
        chunks.append(generation.generate(setup, range(num)))
    plain, again = chunks
    assert graphs["recorded"] >= 1
    assert graphs["replayed"] > 5
    assert abs(plain.images.astype(int) - again.images).max() <= 1
    assert plain.cost[2] == again.cost[2]


def test_what_is_not_known_is_called_as_it_is():
    way = choose(Unknown(), "cpu", SHAPE, 100, dtype="bfloat16", ours=False)
    assert way == Way("bfloat16")
    x, sigma = noisy(0.5)
    plain = Unknown()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        expected = plain(x, sigma)
    assert torch.equal(Runner(plain, way, "cpu")(x, sigma), expected)


def test_closed_forms_stay_float32(train):
    ideal = denoisers.load("gaussian", train=lambda: train)
    assert choose(ideal, "cpu", SHAPE, 10**9, dtype="bfloat16", compiling="on") == Way()


def test_auto_is_what_the_processor_is_good_at():
    expected = "bfloat16" if bfloat16_is_fast("cpu") else "float32"
    assert choose(denoisers.load("unet"), "cpu", SHAPE, 100).dtype == expected


@pytest.mark.parametrize(("dtype", "said"), [("tf32", "CUDA"), ("float16", "available: auto")])
def test_an_arithmetic_that_is_not_there_is_refused(dtype, said):
    with pytest.raises(UsageError, match=said) as error:
        choose(denoisers.load("unet"), "cpu", SHAPE, 100, dtype=dtype)
    assert error.value.about == "--dtype"


def test_the_identity_names_what_changes_images():
    assert Way("float32", graph=True).identity == []
    assert Way("bfloat16", cast=True, compiled=True).identity == ["cast weights", "compiled"]


def tiny():
    abar = schedule.alphas_cumprod(schedule.linear_betas())
    torch.manual_seed(0)

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(1, 1, 3, padding=1)

        def forward(self, x, t):
            return self.conv(x) * (1 + t.view(-1, 1, 1, 1) / 1000).tanh()

    return VPDenoiser(Net(), abar, Spec("tiny", "epsilon", weights="tiny@0"))


@torch.no_grad()
def test_compiled_is_plain_but_for_rounding_and_for_batches_of_the_run_alone(tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    plain, runner = tiny(), Runner(tiny(), Way("float32", compiled=True), "cpu")
    runner.batch = 4
    x, sigma = noisy(0.5)
    assert distance(runner(x, sigma), plain(x, sigma)) < 1e-6
    made = sum(1 for _ in tmp_path.rglob("*.py"))
    assert made
    assert torch.equal(runner(x[:3], sigma), plain(x[:3], sigma))
    assert sum(1 for _ in tmp_path.rglob("*.py")) == made
    assert runner.to_json()["compiled"] is True


@torch.no_grad()
def test_what_cannot_be_compiled_is_run_plainly_and_said(monkeypatch):
    def compiler(net, **options):
        def fail(*args):
            raise RuntimeError("no C++ compiler")

        return fail

    monkeypatch.setattr(torch, "compile", compiler)
    plain, runner = tiny(), Runner(tiny(), Way("float32", compiled=True), "cpu")
    x, sigma = noisy(0.5)
    assert torch.equal(runner(x, sigma), plain(x, sigma))
    facts = runner.to_json()
    assert facts["compiled"] is False
    assert facts["refused"] == {"compiled": "RuntimeError: no C++ compiler"}


def sampled(denoiser, way, device, **changes):
    runner = Runner(denoiser.to(device), way, device)
    runner.batch = changes.get("batch_size", 16)
    options = {"seed": 0, "shape": SHAPE, "pad": 2, "batch_size": runner.batch, "device": device}
    setup = generation.Setup(
        runner, schedule.ddpm_grid(12), SAMPLERS["ddpm"], **(options | changes)
    )
    return generation.generate(setup, range(40)), runner


@CUDA
@pytest.mark.parametrize("name", ["unet", "kbnet", "splice:unet,kbnet@0.4"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_graph_gives_the_same_bytes_on_cuda(name, dtype):
    plain = Way(dtype, cast=dtype == "bfloat16")
    chunk, _ = sampled(denoisers.load(name), plain, "cuda")
    again, runner = sampled(denoisers.load(name), Way(plain.dtype, plain.cast, graph=True), "cuda")
    assert runner.to_json()["graph"] is True, runner.refusals
    # The last batch, of 8, has other kernels than one of 16.
    assert (chunk.images[:32] == again.images[:32]).all()
    assert abs(chunk.images.astype(int) - again.images).mean() < 1
    assert chunk.trace == pytest.approx(again.trace, rel=1e-2, abs=1e-2)
    assert again.cost[2] == 40 * 12


@CUDA
@torch.no_grad()
def test_compiled_agrees_on_cuda():
    plain = Runner(denoisers.load("unet").cuda(), Way(), "cuda")
    for dtype, bound in (("float32", 1e-5), ("bfloat16", 2e-2)):
        way = Way(dtype, cast=dtype == "bfloat16", graph=True, compiled=True)
        runner = Runner(denoisers.load("unet").cuda(), way, "cuda")
        for level in (0.1, 2.0, 100.0) * 2:  # the third is recorded
            x, sigma = noisy(level, 16, "cuda")
            assert distance(runner(x, sigma), plain(x, sigma)) < bound, (dtype, level)
        assert runner.refusals == {}


@CUDA
@torch.no_grad()
def test_what_reads_values_is_not_recorded_on_cuda():
    class Reading(nn.Module):
        def forward(self, x, t):
            return x * float(t.flatten()[0])

    denoiser = tiny().cuda()
    denoiser.net = Reading()
    expected = copy.deepcopy(denoiser)
    runner = Runner(denoiser, Way(graph=True), "cuda")
    for level in (0.1, 0.2, 0.3, 0.4):
        x, sigma = noisy(level, device="cuda")
        assert torch.equal(runner(x, sigma), expected(x, sigma))
    assert runner.to_json()["graph"] is False
    assert "graph" in runner.refusals
    # And the device is as it was, also where the recording itself was what failed.
    graphs = networks.Graphs(Reading(), lambda error: None)
    with pytest.raises(RuntimeError):
        graphs.record((), x, x[:, 0, 0, 0].contiguous())
    assert torch.randn(3, device="cuda").isfinite().all()
    chunk, _ = sampled(denoisers.load("unet"), Way(graph=True), "cuda")
    assert len(chunk.images) == 40


@CUDA
def test_float32_is_not_tf32_on_cuda():
    x, sigma = noisy(0.5, 16, "cuda")
    plain = denoisers.load("kbnet")
    exact = plain(x.cpu(), sigma.cpu())
    found = {}
    for dtype in ("float32", "tf32"):
        with torch.no_grad():
            found[dtype] = Runner(copy.deepcopy(plain).cuda(), Way(dtype), "cuda")(x, sigma)
    assert distance(found["float32"].cpu(), exact) < 1e-5
    assert distance(found["tf32"].cpu(), exact) > 1e-5


@CUDA
def test_an_answer_that_is_not_finite_is_named_by_its_first_step_on_cuda():
    def broken(x, sigma):
        return torch.where(sigma < 1, torch.nan, 0.0) * x

    setup = generation.Setup(
        broken, schedule.ddpm_grid(12), SAMPLERS["ddpm"], 0, SHAPE, 2, 8, device="cuda"
    )
    levels = schedule.ddpm_grid(12).tolist()
    first = next(i for i, level in enumerate(levels) if level < 1)
    with pytest.raises(FloatingPointError, match=f"step {first} of 12"):
        generation.generate(setup, range(8))


@CUDA
def test_batches_are_as_large_as_memory_allows_and_equal_on_cuda():
    runner = Runner(denoisers.load("unet").cuda(), Way("bfloat16", cast=True), "cuda")
    assert execution.batch_size(runner, SHAPE, 20) == 20
    size = execution.batch_size(runner, SHAPE, 10_000)
    batches = -(-10_000 // size)
    assert 8 <= size <= execution.LARGEST
    assert size == -(-10_000 // batches)  # equal ones


def test_tf32_is_as_before_outside():
    before = torch.backends.cudnn.allow_tf32
    with networks.tensor_float(not before):
        assert torch.backends.cudnn.allow_tf32 is not before
    assert torch.backends.cudnn.allow_tf32 is before
