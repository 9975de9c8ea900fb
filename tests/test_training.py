"""A training that was interrupted ends where an uninterrupted one does."""

import pytest
import torch
from torch import nn

from denoisers import training
from denoisers.unet.train import CHAIN, sample_sigma, v_loss


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


def test_resuming_gives_the_same_weights(task, tmp_path):
    options = {"epochs": 4, "batch_size": 16, "report_every": 1, "seed": 3}
    whole = training.fit(lambda: nn.Linear(4, 1), task, loss, tmp_path / "whole.ckpt", **options)

    def stop(progress):
        if progress.step == 11:  # in the middle of the third epoch
            raise Interrupted

    with pytest.raises(Interrupted):
        training.fit(lambda: nn.Linear(4, 1), task, loss, tmp_path / "part.ckpt", report=stop, **options)
    resumed = training.fit(lambda: nn.Linear(4, 1), task, loss, tmp_path / "part.ckpt", **options)
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


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
    assert ((sigma > 0.4) & (sigma < 2)).double().mean() > 0.35


def test_v_loss_of_an_oracle_is_zero_and_of_nothing_is_about_one(train, generator):
    class Silent(nn.Module):
        def forward(self, x, t):
            from denoisers import schedule

            abar = schedule.alphas_cumprod(schedule.linear_betas())
            return (1 - abar[t.round().long()]).sqrt()[:, None, None, None].float() * x  # v = 0

    value = v_loss(Silent(), [train[:256]], generator)
    assert 0.7 < value < 1.1  # E|v|^2 lies between E|x0|^2 = 0.8 and E|eps|^2 = 1
