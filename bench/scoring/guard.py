"""The noise guard: images as they are compared where noise may hide that they are copies."""

import numpy as np

BLUR = 2  # standard deviation of the blur, in pixels, under which noise of 0.2 still leaves photographs apart
CHUNK = 500  # images that are filtered at once, in a processor's cache


def guarded(images: np.ndarray, *, on_black: bool = True) -> np.ndarray:
    """uint8 (N, H, W[, C]) without noise, which hides copies that it was added to: channel by channel.

    on_black  under a 3 x 3 median, which keeps strokes; uint8. Else under a Gaussian blur, as most of
              a photograph lies in its low frequencies and little of the noise; float32
    """
    if not on_black:
        from scipy import ndimage  # takes a third of a second to import

        axes = (0, BLUR, BLUR, 0)[: images.ndim]
        return ndimage.gaussian_filter(images.astype(np.float32), axes, mode="nearest")
    return median_filtered(images)


def median_filtered(images: np.ndarray) -> np.ndarray:
    """uint8 (N, H, W[, C]) under a 3 x 3 median, channel by channel; outside is black.

    Of three sorted columns the median of all is that of the largest of the
    smallest, the median of the medians and the smallest of the largest: an eighth of the time of a
    filter for any size.
    """
    if images.ndim == 4:
        return np.stack(
            [median_filtered(channel) for channel in np.moveaxis(images, -1, 0)], axis=-1
        )
    found = np.empty_like(images)
    for i in range(0, len(images), CHUNK):
        padded = np.pad(images[i : i + CHUNK], ((0, 0), (1, 1), (1, 1)))
        above, here, below = padded[:, :-2], padded[:, 1:-1], padded[:, 2:]
        low = np.minimum(np.minimum(above, here), below)
        high = np.maximum(np.maximum(above, here), below)
        low, middle, high = (
            (column[..., :-2], column[..., 1:-1], column[..., 2:])
            for column in (low, median(above, here, below), high)
        )
        low = np.maximum(np.maximum(low[0], low[1]), low[2])
        high = np.minimum(np.minimum(high[0], high[1]), high[2])
        found[i : i + CHUNK] = median(low, median(*middle), high)
    return found


def median(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> np.ndarray:
    """Of three arrays, element by element."""
    return np.maximum(np.minimum(a, b), np.minimum(np.maximum(a, b), c))
