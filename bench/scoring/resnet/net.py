"""A small residual classifier of natural images, whose pooled features serve FID and KID."""

import torch.nn.functional as F
from torch import Tensor, nn

FEATURES = 256
SIDE = 32  # pixels that it sees
WEIGHTS = (0.299, 0.587, 0.114)  # of red, green and blue in grey: ITU-R 601


def seen(images: Tensor) -> Tensor:
    """Images (B, C, H, W) as the network takes them: in three channels, of 32 x 32.

    Grey is repeated; other sizes are resized, smoothly, as a whole.
    """
    if images.shape[-2:] != (SIDE, SIDE):
        images = F.interpolate(
            images, (SIDE, SIDE), mode="bilinear", align_corners=False, antialias=True
        )
    return images if images.shape[1] == 3 else images.expand(-1, 3, -1, -1)


def in_grey(images: Tensor) -> Tensor:
    """Colour images (B, 3, H, W), or grey ones, with the luma in each of three channels."""
    if images.shape[1] != 3:
        return images
    weights = images.new_tensor(WEIGHTS)[:, None, None]
    return (images * weights).sum(1, keepdim=True).expand_as(images)


class Block(nn.Module):
    """Convolution, normalisation and ReLU, with a shortcut around them."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.body = nn.Sequential(*stage(channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        return x + self.body(x)


class ResNet(nn.Module):
    """Seven convolutions on ever smaller maps, their maximum over places, and `classes` classes.

    images   float32 (B, C, H, W) in [-1, 1], in grey or colour, of any size: see `seen`
    returns  logits (B, classes); `features` gives what is before them, (B, 256)

    Once it is trained, an image and its mirror image are the same: the features are the mean of both.
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *stage(3, 32),
            *stage(32, 64, pool=2),
            Block(64),
            *stage(64, 192, pool=2),
            Block(192),
            *stage(192, FEATURES, pool=2),
            Block(FEATURES),
            nn.AdaptiveMaxPool2d(1),
            nn.Flatten(),
        )
        self.head = nn.Linear(FEATURES, classes)

    def features(self, images: Tensor) -> Tensor:
        x = seen(images)
        return self.trunk(x) if self.training else (self.trunk(x) + self.trunk(x.flip(-1))) / 2

    def forward(self, images: Tensor) -> Tensor:
        return self.head(self.features(images))


def stage(in_channels: int, out_channels: int, pool: int = 1) -> list[nn.Module]:
    """Convolution, a smaller map where it is asked for, normalisation, ReLU."""
    layers: list[nn.Module] = [nn.Conv2d(in_channels, out_channels, 3, padding=1, bias=False)]
    layers += [nn.MaxPool2d(pool)] if pool > 1 else []
    return [*layers, nn.BatchNorm2d(out_channels), nn.ReLU()]
