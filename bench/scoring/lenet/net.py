"""A small MNIST classifier whose last hidden layer serves as the features of FID and KID."""

from torch import Tensor, nn

FEATURES = 128


class LeNet(nn.Module):
    """Three convolutions, one hidden layer, ten classes.

    images   float32 (B, 1, 28, 28) in [-1, 1]
    returns  logits (B, 10); `features` gives the hidden layer after its ReLU, (B, 128)
    """

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *stage(1, 32, kernel=5),
            *stage(32, 64),
            *stage(64, 128),
            nn.Flatten(),
            nn.Dropout(0.3),
            nn.Linear(128 * 9, FEATURES),
            nn.ReLU(),
        )
        self.head = nn.Linear(FEATURES, 10)

    def features(self, images: Tensor) -> Tensor:
        return self.trunk(images)

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))


def stage(in_channels: int, out_channels: int, kernel: int = 3) -> list[nn.Module]:
    """Convolution, normalisation, a halving of the sides and ReLU, which gives the same after it for a quarter."""
    conv = nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False)
    return [conv, nn.BatchNorm2d(out_channels), nn.MaxPool2d(2), nn.ReLU()]
