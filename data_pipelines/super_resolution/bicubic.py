"""Bicubic resizing as in MATLAB's `imresize`, the standard of super-resolution, from which other libraries differ."""

from functools import lru_cache

import numpy as np
from scipy.sparse import csr_array


def cubic_kernel(x: np.ndarray) -> np.ndarray:
    """Evaluate the cubic convolution kernel with a = -0.5 (Keys 1981, eq. 15); zero from |x| = 2 on."""
    x = np.abs(x)
    near = 1.5 * x**3 - 2.5 * x**2 + 1
    far = -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x <= 1, near, np.where(x < 2, far, 0.0))


@lru_cache(maxsize=256)
def resize_matrix(num_in: int, num_out: int) -> csr_array:
    """Build the weights [num_out, num_in], float64, that resize one axis; each row sums to 1.

    When the axis shrinks, the kernel is widened by the factor, which removes frequencies above the coarser grid's
    limit. Beyond the ends the axis is continued by its mirror image, the last sample included. (Releases of about 2010
    repeated the last sample instead; low-resolution sets made then differ in a border of a few pixels.)
    """
    ratio = num_out / num_in
    stretch = min(ratio, 1.0)
    width = 4.0 / stretch
    centre = (np.arange(num_out) + 0.5) / ratio - 0.5  # of each output sample, in input samples
    first = np.floor(centre - width / 2).astype(np.int64)
    taps = first[:, None] + np.arange(int(np.ceil(width)) + 2)
    weights = cubic_kernel(stretch * (centre[:, None] - taps))
    weights /= weights.sum(axis=1, keepdims=True)
    mirrored = taps % (2 * num_in)
    columns = np.where(mirrored < num_in, mirrored, 2 * num_in - 1 - mirrored)
    rows = np.broadcast_to(np.arange(num_out)[:, None], columns.shape)
    matrix = csr_array((weights.ravel(), (rows.ravel(), columns.ravel())), shape=(num_out, num_in))
    matrix.sum_duplicates()
    matrix.eliminate_zeros()
    return matrix


def resize_bicubic(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Resize uint8 [in_height, in_width, channels] to uint8 [height, width, channels].

    Columns of pixels first, then rows; like MATLAB's, the result of each is rounded to grey levels.
    """
    return _resize_first_axis(_resize_first_axis(image, height).transpose(1, 0, 2), width).transpose(1, 0, 2)


def _resize_first_axis(image: np.ndarray, num_out: int) -> np.ndarray:
    flat = image.reshape(len(image), -1).astype(np.float64)
    return quantise(resize_matrix(len(image), num_out) @ flat).reshape(num_out, *image.shape[1:])


def downscale(image: np.ndarray, scale: int) -> np.ndarray:
    """Resize uint8 [height, width, channels] to low resolution; the sides must be multiples of `scale`."""
    height, width, _ = image.shape
    assert height % scale == 0 and width % scale == 0, "cut the image to a multiple of the scale first"
    return resize_bicubic(image, height // scale, width // scale)


def quantise(values: np.ndarray) -> np.ndarray:
    """Round to grey levels 0..255 as uint8, half up, as published results are made."""
    return np.floor(values.clip(0, 255) + 0.5).astype(np.uint8)
