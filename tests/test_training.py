"""A training that was interrupted ends where an uninterrupted one does."""

import resource
import signal

import pytest
import torch
from torch import nn

from denoisers import training
from denoisers.training import CHAIN, sample_sigma
from denoisers.unet.train import v_loss


def loss(net, batch, generator):
    x, y = batch
    noise = 0.1 * torch.randn(x.shape, generator=generator)
    return (net(x + noise).float() - y).square().mean()


@pytest.fixture
def task(generator):
    x = torch.randn(64, 4, generator=generator)
    return [x, x.sum(1, keepdim=True)]


class Interrupted(Exception):
    pass


def wide():
    return nn.Sequential(nn.Linear(4, 64), nn.SiLU(), nn.Linear(64, 64), nn.SiLU(), nn.Linear(64, 1))


@pytest.mark.parametrize("muon_lr", [None, 0.01])
def test_resuming_gives_the_same_weights(task, tmp_path, muon_lr):
    options = {"epochs": 4, "batch_size": 16, "report_every": 1, "seed": 3, "muon_lr": muon_lr}
    whole = training.fit(wide, task, loss, tmp_path / "whole.ckpt", **options)

    def stop(progress):
        if progress.step == 11:  # in the middle of the third epoch
            raise Interrupted

    with pytest.raises(Interrupted):
        training.fit(wide, task, loss, tmp_path / "part.ckpt", report=stop, **options)
    resumed = training.fit(wide, task, loss, tmp_path / "part.ckpt", **options)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


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
        net = training.fit(build, task, lambda *args: scale * loss(*args), path, muon_lr=muon_lr, **options)
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
        training.Muon([weight], lr=0.1, weight_decay=0.01).step()
    assert not torch.equal(kernel, values)
    assert torch.equal(kernel.permute(0, 2, 3, 1).reshape(64, 72), matrix)


def test_it_learns_and_reports(task, tmp_path):
    losses = []
    net = training.fit(
        lambda: nn.Linear(4, 1),
        task,
        loss,
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
    rates = [training.learning_rate(step, 2000) for step in range(2000)]
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

    value = v_loss(Silent(), [train[:256]], generator)
    assert 0.7 < value < 1.1  # E|v|^2 lies between E|x0|^2 = 0.8 and E|eps|^2 = 1


def test_muon_moves_a_matrix_as_torch_does_and_a_kernel_as_its_matrix(generator):
    start, gradients = torch.randn(64, 3, 5, 5, generator=generator), torch.randn(3, 64, 3, 5, 5, generator=generator)
    kernel = nn.Parameter(start.to(memory_format=torch.channels_last))
    ours, matrix = (nn.Parameter(training.as_matrix(kernel.detach()).clone()) for _ in range(2))
    optimizers = {
        kernel: training.Muon([kernel], 0.01, 0.1),
        ours: training.Muon([ours], 0.01, 0.1),
        matrix: torch.optim.Muon([matrix], 0.01, 0.1, adjust_lr_fn="match_rms_adamw"),
    }
    for gradient in gradients:
        for weight, optimizer in optimizers.items():
            flat = training.as_matrix(gradient.to(memory_format=torch.channels_last))
            weight.grad = gradient.clone() if weight is kernel else flat.clone()
            optimizer.step()
    assert torch.allclose(training.as_matrix(kernel), ours, atol=1e-6)
    moved = matrix - training.as_matrix(start.to(memory_format=torch.channels_last))
    assert (ours - matrix).norm() < 0.02 * moved.norm()  # torch computes in bfloat16


def test_a_full_disk_names_the_checkpoint_and_leaves_the_last_one(tmp_path):
    """A limit on the size of files stands for the disk."""
    path, net = tmp_path / "x.ckpt", wide()
    training.save_checkpoint(path, net=net, average=net, optimizers=[], step=1)
    before, ignored = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, before[1]))
    try:
        with pytest.raises(OSError, match=r"cannot write .*x\.ckpt: File too large$"):
            training.save_checkpoint(path, net=net, average=net, optimizers=[], step=2)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)
    assert torch.load(path, weights_only=True)["step"] == 1
    assert list(tmp_path.iterdir()) == [path]
