"""A training that was interrupted ends where an uninterrupted one does."""

import resource
import signal

import pytest
import torch
from torch import nn

from denoisers import resuming, training, updates
from denoisers.errors import UsageError
from denoisers.muon import Muon, as_matrix
from denoisers.training import CHAIN, Objective, sample_sigma
from denoisers.unet.train import V_LOSS


def noised(batch, draws):
    x, y = batch
    return [x + 0.1 * torch.randn(x.shape, generator=draws.device), y]


def squared(net, x, y):
    return (net(x).float() - y).square().mean()


TASK = Objective(noised, squared)


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


@pytest.mark.parametrize(("build", "muon_lr"), [(wide, None), (wide, 0.01), (dropping, None)])
def test_resuming_gives_the_same_weights(task, tmp_path, monkeypatch, build, muon_lr):
    monkeypatch.setattr(training, "SAVE_AFTER", 0)
    options = {"epochs": 4, "batch_size": 16, "report_every": 1, "seed": 3, "muon_lr": muon_lr}
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
        "noise 25": (wide, task, Objective(noised, squared, {"noise": 25})),
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
        training.fit(wide, task, TASK, path, epochs=1)


def test_a_training_that_diverges_says_so(task, tmp_path):
    path = tmp_path / "x.ckpt"
    endless = Objective(noised, lambda *drawn: squared(*drawn) * float("inf"))
    with pytest.raises(FloatingPointError, match="diverged"):
        training.fit(wide, task, endless, path, epochs=1)
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
        objective = Objective(noised, lambda *args: scale * squared(*args))
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

    value = V_LOSS.loss(Silent(), *V_LOSS.draw([train[:256]], training.Draws(generator, generator)))
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
