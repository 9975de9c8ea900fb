"""A small convolutional VAE on MNIST (Kingma & Welling 2014): a generator that knows nothing of `bench`.

python examples/vae.py --num 2000 --out vae.npz
bench score vae.npz --name vae --out results/
"""

import argparse
import os
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.datasets import MNIST

LATENT = 16


class VAE(nn.Module):
    """Images (B, 1, 28, 28) in [0, 1] and their codes z (B, 16)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 16, 4, stride=2, padding=1),  # (B, 16, 14, 14)
            nn.ReLU(inplace=True),
            nn.Conv2d(16, 32, 4, stride=2, padding=1),  # (B, 32, 7, 7)
            nn.ReLU(inplace=True),
            nn.Flatten(),
            nn.Linear(32 * 7 * 7, 256),
            nn.ReLU(inplace=True),
            nn.Linear(256, 2 * LATENT),
        )
        self.decoder = nn.Sequential(
            nn.Linear(LATENT, 256),
            nn.ReLU(inplace=True),
            nn.Linear(256, 32 * 7 * 7),
            nn.ReLU(inplace=True),
            nn.Unflatten(1, (32, 7, 7)),
            nn.ConvTranspose2d(32, 16, 4, stride=2, padding=1),
            nn.ReLU(inplace=True),
            nn.ConvTranspose2d(16, 1, 4, stride=2, padding=1),
        )

    def loss(self, x: Tensor) -> Tensor:
        """Negative ELBO in nats per image: Bernoulli pixels whose targets are the grey levels, q(z|x) diagonal."""
        mean, log_variance = self.encoder(x).chunk(2, dim=1)
        z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
        reconstruction = F.binary_cross_entropy_with_logits(self.decoder(z), x, reduction="sum")
        divergence = (mean**2 + log_variance.exp() - 1 - log_variance).sum() / 2
        return (reconstruction + divergence) / len(x)

    @torch.inference_mode()
    def sample(self, num: int, seed: int) -> Tensor:
        """uint8 (num, 28, 28, 1): the mean of every pixel given z ~ N(0, 1), not a draw of black or white."""
        z = torch.randn(num, LATENT, generator=torch.Generator().manual_seed(seed))
        pixels = torch.cat([self.decoder(part).sigmoid() for part in z.split(500)])
        return (pixels * 255).round().to(torch.uint8).permute(0, 2, 3, 1)


def train(images: Tensor, epochs: int, batch_size: int, seed: int) -> VAE:
    """A VAE trained on float images (N, 1, 28, 28) in [0, 1] with Adam, the step falling to 0 along a cosine."""
    torch.manual_seed(seed)
    net = VAE().to(memory_format=torch.channels_last)  # a third faster on a CPU
    optimizer = torch.optim.Adam(net.parameters(), lr=2e-3)
    batches = len(images) // batch_size
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs * batches)
    print(
        f"{sum(p.numel() for p in net.parameters())} parameters, {epochs} epochs of {batches} batches"
    )
    for epoch in range(epochs):
        begun, total = time.perf_counter(), 0.0
        for ids in torch.randperm(len(images))[: batches * batch_size].split(batch_size):
            loss = net.loss(images[ids])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item() / batches
        print(
            f"epoch {epoch + 1}: -ELBO {total:.2f} nats, {time.perf_counter() - begun:.1f} s",
            flush=True,
        )
    return net


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data-dir", default=os.environ.get("BENCH_DATA", "data"), help="holds MNIST/raw/"
    )
    parser.add_argument("--train", type=int, default=60_000, help="digits to train on")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch-size", type=int, default=128)
    parser.add_argument("--num", type=int, default=2000, help="samples to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, default=Path("vae.npz"))
    args = parser.parse_args()
    digits = MNIST(args.data_dir, train=True, download=True).data[: args.train, None] / 255
    net = train(digits, args.epochs, args.batch_size, args.seed)
    np.savez_compressed(args.out, arr_0=net.sample(args.num, args.seed).numpy())
    print(args.out)
