"""A training that was interrupted ends where an uninterrupted one does."""

import resource
import signal

import numpy as np
import pytest
import scipy.stats
import torch
from torch import nn

from denoisers import resuming, training, updates
from denoisers.errors import UsageError
from denoisers.muon import Muon, as_matrix
from denoisers.training import CHAIN, Objective, sample_sigma
from denoisers.unet.train import V_LOSS


def levels(size, generator):
    return [0.2 * torch.rand(size, 1, generator=generator)]


def noised(batch, levels, generator):
    (x, y), (level,) = batch, levels
    return [x + level * torch.randn(x.shape, generator=generator, device=x.device), y]


def squared(net, x, y):
    return (net(x).float() - y).square().mean()


TASK = Objective(noised, squared, levels)


@pytest.fixture
def task(generator):
    x = torch.randn(64, 4, generator=generator)
    return [x, x.sum(1, keepdim=True)]


class Interrupted(Exception):
    pass


def wide():
    return nn.Sequential(
        nn.Linear(4, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1)
    )


def dropping():
    """A network that draws numbers by itself, and counts its batches."""
    return nn.Sequential(nn.Linear(4, 64), nn.BatchNorm1d(64), nn.Dropout(0.5), nn.Linear(64, 1))


@pytest.mark.parametrize(
    ("build", "chosen"),
    [
        (wide, {}),
        (wide, {"muon_lr": 0.01}),
        (dropping, {"ema_decay": 0.7}),
    ],
)
def test_resuming_gives_the_same_weights(task, tmp_path, monkeypatch, build, chosen):
    monkeypatch.setattr(training, "SAVE_AFTER", 0)
    options = {"epochs": 4, "batch_size": 16, "report_every": 1, "seed": 3} | chosen
    whole, _ = training.fit(build, task, TASK, tmp_path / "whole.ckpt", **options)

    def stop(progress):
        if progress.step == 11:  # in the middle of the third epoch
            raise Interrupted

    with pytest.raises(Interrupted):
        training.fit(build, task, TASK, tmp_path / "part.ckpt", report=stop, **options)
    torch.manual_seed(99)  # what another process would have drawn
    steps = []
    resumed, _ = training.fit(
        build, task, TASK, tmp_path / "part.ckpt", report=steps.append, **options
    )
    assert steps[0].step == 9  # the checkpoint of the second epoch
    ours, theirs = whole.state_dict(), resumed.state_dict()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_how_many_steps_are_drawn_ahead_does_not_matter(task, tmp_path, monkeypatch):
    found = []
    for ahead in (1, 3, 256):
        monkeypatch.setattr(training, "AHEAD", ahead)
        path = tmp_path / f"{ahead}.ckpt"
        found.append(training.fit(wide, task, TASK, path, epochs=2, batch_size=8).net.state_dict())
    for other in found[1:]:
        assert all(torch.equal(other[key], found[0][key]) for key in other)


def test_a_batch_of_more_images_than_there_are_is_refused(task, tmp_path):
    training.fit(wide, task, TASK, tmp_path / "all.ckpt", epochs=1, batch_size=64)
    with pytest.raises(UsageError, match=r"at most 64, the number of images.*found 65") as raised:
        training.fit(wide, task, TASK, tmp_path / "x.ckpt", epochs=1, batch_size=65)
    assert raised.value.about == "--batch-size"
    assert not (tmp_path / "x.ckpt").exists()


def test_the_unet_sees_the_numbers_that_its_definition_says(generator, tmp_path):
    """Order of an epoch by seed + epoch; levels and noise of step k by (seed, k), one after the other.

    Levels are stratified: the i-th of B lies in the i-th part of the distribution, four fifths of
    it ln sigma ~ N(0.6, 1.5^2) between the ends of the chain, one fifth uniform in ln sigma.
    """
    images, seed, size, seen = torch.rand(12, 1, 4, 4, generator=generator), 5, 5, []

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.scale = nn.Parameter(torch.zeros(()))

        def forward(self, x, t):
            return self.scale * x

    def loss(net, *drawn):
        seen.append([tensor.clone() for tensor in drawn])
        return V_LOSS.loss(net, *drawn)

    objective = Objective(V_LOSS.draw, loss, V_LOSS.levels)
    options = {"epochs": 2, "batch_size": size, "seed": seed}
    training.fit(Net, [images], objective, tmp_path / "x.ckpt", **options)
    assert len(seen) == 4
    ends = np.log(CHAIN[[0, -1]].numpy())
    low, high = scipy.stats.norm.cdf((ends - 0.6) / 1.5)
    for step, (x, t, eps, scale) in enumerate(seen):
        epoch, batch = divmod(step, 2)
        order = torch.randperm(12, generator=torch.Generator().manual_seed(seed + epoch))
        x0 = images[order[batch * size : (batch + 1) * size]]
        own = torch.Generator().manual_seed((seed << 32) + step)
        place = (
            np.arange(size) + torch.rand(size, generator=own, dtype=torch.float64).numpy()
        ) / size
        assert torch.equal(eps, torch.randn(size, 1, 4, 4, generator=own))
        curve = 0.6 + 1.5 * scipy.stats.norm.ppf(low + (high - low) * np.minimum(place / 0.8, 1))
        line = ends[0] + (ends[1] - ends[0]) * (place - 0.8) / 0.2
        sigma = np.exp(np.where(place < 0.8, curve, line))
        assert scale.flatten().numpy() == pytest.approx(1 / np.sqrt(1 + sigma**2), rel=1e-6)
        assert t.numpy() == pytest.approx(
            np.interp(np.log(sigma), CHAIN.log().numpy(), np.arange(1000)), rel=1e-6, abs=1e-6
        )
        noisy = (x0.double() + torch.from_numpy(sigma)[:, None, None, None] * eps) * scale.double()
        assert torch.allclose(x.double(), noisy, atol=1e-6)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
def test_on_cuda_a_recorded_step_does_what_the_step_does(task, tmp_path, monkeypatch):
    """Compiled kernels round in another way; what is drawn, learnt and averaged is the same."""
    before = {key: value.clone() for key, value in seeded_net().state_dict().items()}
    options = {"epochs": 6, "batch_size": 16, "device": "cuda", "muon_lr": 0.01, "report_every": 24}
    found, losses = [], []
    for kind in (updates.Recorded, updates.Update):
        monkeypatch.setattr(updates, "Recorded", kind)
        path = tmp_path / f"{kind.__name__}.ckpt"
        net, _ = training.fit(
            seeded_net, task, TASK, path, report=lambda p: losses.append(p.loss), **options
        )
        found.append({key: value.cpu() for key, value in net.state_dict().items()})
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    for key, recorded in found[0].items():
        moved = (found[1][key] - before[key]).norm()
        assert moved > 0
        assert (recorded - found[1][key]).norm() < 0.2 * moved


def seeded_net():
    torch.manual_seed(1)
    return wide()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
def test_on_cuda_a_resumed_training_goes_on(task, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "SAVE_AFTER", 0)
    options = {"epochs": 6, "batch_size": 16, "device": "cuda", "report_every": 1}
    whole, _ = training.fit(seeded_net, task, TASK, tmp_path / "whole.ckpt", **options)

    def stop(progress):
        if progress.step == 14:
            raise Interrupted

    with pytest.raises(Interrupted):
        training.fit(seeded_net, task, TASK, tmp_path / "part.ckpt", report=stop, **options)
    resumed, _ = training.fit(seeded_net, task, TASK, tmp_path / "part.ckpt", **options)
    before = seeded_net().state_dict()
    for key, ours in whole.state_dict().items():
        moved = (ours.cpu() - before[key]).norm()
        assert (ours - resumed.state_dict()[key]).norm() < 0.1 * moved


def test_training_leaves_the_generators_of_others_alone(task, tmp_path):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    training.fit(dropping, task, TASK, tmp_path / "x.ckpt", epochs=1, batch_size=16)
    assert torch.equal(torch.get_rng_state(), before)


CHANGES = {
    "seed": {"seed": 4},
    "epochs": {"epochs": 2},
    "batch": {"batch_size": 8},
    "optimizer": {"lr": 2e-3},
    "weight decay": {"weight_decay": 0.0},
    "average": {"ema_decay": None},
    "Muon": {"muon_lr": 1e-3},
    "start": {"start": wide().state_dict()},
}


@pytest.mark.parametrize("said", CHANGES)
def test_a_checkpoint_of_another_recipe_is_refused(task, tmp_path, said):
    path = tmp_path / "x.ckpt"
    training.fit(wide, task, TASK, path, epochs=1, batch_size=16)
    before = path.read_bytes()
    options = {"epochs": 1, "batch_size": 16} | CHANGES[said]
    with pytest.raises(UsageError, match=rf"another recipe.*{said}") as raised:
        training.fit(wide, task, TASK, path, **options)
    assert raised.value.about == "--name"
    assert path.read_bytes() == before


def test_a_checkpoint_of_another_network_objective_or_data_is_refused(task, tmp_path):
    path, options = tmp_path / "x.ckpt", {"epochs": 1, "batch_size": 16}
    training.fit(wide, task, TASK, path, **options)
    for said, other in {
        "network": (dropping, task, TASK),
        "data": (wide, [task[0] + 1, task[1]], TASK),
        "noise 25": (wide, task, Objective(noised, squared, levels, {"noise": 25})),
    }.items():
        with pytest.raises(UsageError, match=said):
            training.fit(*other, path, **options)


@pytest.mark.parametrize("content", [b"", b"x" * 100, "older", "truncated", "a list"])
def test_what_is_no_checkpoint_is_named(task, tmp_path, content):
    path = tmp_path / "x.ckpt"
    if content == "truncated":
        resuming.save(path, {}, {"step": 1})
        path.write_bytes(path.read_bytes()[:200])
    elif isinstance(content, str):
        torch.save({"net": {}, "step": 1} if content == "older" else [1], path)
    else:
        path.write_bytes(content)
    with pytest.raises(
        UsageError,
        match=r"x\.ckpt is not (a checkpoint that says by which recipe|readable: it is empty)",
    ):
        training.fit(wide, task, TASK, path, epochs=1, batch_size=16)


def test_a_training_that_diverges_says_so(task, tmp_path):
    path = tmp_path / "x.ckpt"
    endless = Objective(noised, lambda *drawn: squared(*drawn) * float("inf"), levels)
    with pytest.raises(FloatingPointError, match="diverged"):
        training.fit(wide, task, endless, path, epochs=1, batch_size=16)
    assert not path.exists()


def test_muon_moves_the_inner_matrices_alone_and_by_its_rate(task, tmp_path):
    """The size of its update does not depend on the size of the gradient."""

    def moved(scale, muon_lr):
        before = []

        def build():
            net = wide()
            before.extend(p.detach().clone() for p in net.parameters())
            return net

        path = tmp_path / f"{scale}-{muon_lr}"
        options = {"epochs": 1, "batch_size": 64, "weight_decay": 0.0, "ema_decay": 0.0, "lr": 0.0}
        objective = Objective(noised, lambda *args: scale * squared(*args), levels)
        net, _ = training.fit(build, task, objective, path, muon_lr=muon_lr, **options)
        return [(a - b).norm().item() for a, b in zip(net.parameters(), before, strict=True)]

    one = moved(1.0, 0.5)
    assert [i for i, distance in enumerate(one) if distance] == [2]
    assert moved(1e-2, 0.5)[2] == pytest.approx(one[2], rel=0.05)
    assert moved(1.0, 0.25)[2] == pytest.approx(one[2] / 2, rel=0.05)


def test_muon_takes_a_kernel_for_a_matrix(generator):
    """One step on a (64, 8, 3, 3) kernel is the step on the (64, 72) matrix of the same numbers."""
    values, gradient = torch.randn(2, 64, 8, 3, 3, generator=generator)
    kernel = nn.Parameter(values.to(memory_format=torch.channels_last))
    kernel.grad = gradient.to(memory_format=torch.channels_last)
    matrix = nn.Parameter(values.permute(0, 2, 3, 1).reshape(64, 72))
    matrix.grad = gradient.permute(0, 2, 3, 1).reshape(64, 72)
    for weight in (kernel, matrix):
        Muon([weight], lr=0.1, weight_decay=0.01).step()
    assert not torch.equal(kernel, values)
    assert torch.equal(kernel.permute(0, 2, 3, 1).reshape(64, 72), matrix)


def test_it_learns_and_reports(task, tmp_path):
    losses = []
    net, _ = training.fit(
        lambda: nn.Linear(4, 1),
        task,
        TASK,
        tmp_path / "c",
        epochs=60,
        batch_size=16,
        lr=0.03,
        ema_decay=0.9,
        report=lambda p: losses.append(p.loss),
        report_every=20,
    )
    assert losses[-1] < 0.2 * losses[0]
    assert not net.training
    assert len(losses) == 12


def test_learning_rate_rises_then_falls():
    rates = [updates.learning_rate(step, 2000) for step in range(2000)]
    assert rates[0] < 0.01
    assert max(rates) == pytest.approx(1)
    assert rates[-1] == pytest.approx(0.01, abs=1e-3)


def test_noise_levels_cover_the_chain_and_favour_the_decision_window(generator):
    sigma = sample_sigma(10_000, generator)
    assert CHAIN[0] <= sigma.min() * (1 + 1e-9) < 0.011
    assert 140 < sigma.max() <= CHAIN[-1] * (1 + 1e-9)
    assert ((sigma > 0.4) & (sigma < 8)).double().mean() > 0.55


def test_v_loss_of_an_oracle_is_zero_and_of_nothing_is_about_one(train, generator):
    class Silent(nn.Module):
        def forward(self, x, t):
            from denoisers import schedule

            abar = schedule.alphas_cumprod(schedule.linear_betas())
            return (1 - abar[t.round().long()]).sqrt()[:, None, None, None].float() * x  # v = 0

    value = V_LOSS.loss(
        Silent(), *V_LOSS.draw([train[:256]], V_LOSS.levels(256, generator), generator)
    )
    assert 0.7 < value < 1.1  # E|v|^2 lies between E|x0|^2 = 0.8 and E|eps|^2 = 1


def test_muon_moves_a_matrix_as_torch_does_and_a_kernel_as_its_matrix(generator):
    start, gradients = (
        torch.randn(64, 3, 5, 5, generator=generator),
        torch.randn(3, 64, 3, 5, 5, generator=generator),
    )
    kernel = nn.Parameter(start.to(memory_format=torch.channels_last))
    ours, matrix = (nn.Parameter(as_matrix(kernel.detach()).clone()) for _ in range(2))
    optimizers = {
        kernel: Muon([kernel], 0.01, 0.1),
        ours: Muon([ours], 0.01, 0.1),
        matrix: torch.optim.Muon([matrix], 0.01, 0.1, adjust_lr_fn="match_rms_adamw"),
    }
    for gradient in gradients:
        for weight, optimizer in optimizers.items():
            flat = as_matrix(gradient.to(memory_format=torch.channels_last))
            weight.grad = gradient.clone() if weight is kernel else flat.clone()
            optimizer.step()
    assert torch.allclose(as_matrix(kernel), ours, atol=1e-6)
    moved = matrix - as_matrix(start.to(memory_format=torch.channels_last))
    assert (ours - matrix).norm() < 0.02 * moved.norm()  # torch computes in bfloat16


def test_a_full_disk_names_the_checkpoint_and_leaves_the_last_one(tmp_path):
    """A limit on the size of files stands for the disk."""
    path, net = tmp_path / "x.ckpt", wide()
    resuming.save(path, {}, {"net": net.state_dict(), "step": 1})
    before, ignored = (
        resource.getrlimit(resource.RLIMIT_FSIZE),
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN),
    )
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match=r"cannot write .*x\.ckpt: File too large$"):
            resuming.save(path, {}, {"net": net.state_dict(), "step": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert torch.load(path, weights_only=True)["step"] == 1
    assert list(tmp_path.iterdir()) == [path]
