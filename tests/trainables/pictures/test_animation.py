import io

import numpy as np
import pytest
from PIL import Image

from trainables.pictures.animation import encode_gif


@pytest.mark.parametrize(("frames_per_s", "duration_ms"), [(4, 250), (10, 100), (30, 30), (60, 20), (1000, 20)])
def test_a_gif_has_its_rate_as_far_as_viewers_play_it(frames_per_s, duration_ms):
    """They show frames of less than 20 ms for 100 ms."""
    frames = [np.full((4, 4, 1), level, np.uint8) for level in (0, 100, 200)]
    with Image.open(io.BytesIO(encode_gif(frames, frames_per_s))) as gif:
        assert gif.info["duration"] == duration_ms
