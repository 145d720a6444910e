"""Enlarge the photographs of scikit-learn: `python super_resolution.py MODEL [FOLDER]`; the folder gets the results."""

import sys
from pathlib import Path

from PIL import Image
from sklearn.datasets import load_sample_images

from trainables import load_model

SIDE = 96
"""Of the square that is cut out of each photograph, in pixels."""


def main(model_folder: str, out: str = "enlarged") -> None:
    """Write each square beside its bicubic enlargement and the model's."""
    photographs = load_sample_images()
    squares = [
        Image.fromarray(pixels).resize((320, 214)).crop((100, 60, 100 + SIDE, 60 + SIDE))
        for pixels in photographs.images
    ]

    model = load_model(model_folder)
    enlarged = model.predict(squares)

    Path(out).mkdir(exist_ok=True)
    for name, square, result in zip(photographs.filenames, squares, enlarged, strict=True):
        bicubic = square.resize(result.size, Image.Resampling.BICUBIC)
        sheet = Image.new("RGB", (2 * result.width, result.height))
        sheet.paste(bicubic, (0, 0))
        sheet.paste(result, (result.width, 0))
        file = Path(out, f"{Path(name).stem}_x{result.width // SIDE}.png")
        sheet.save(file)
        print(f"{file}: bicubic on the left, the model on the right")


if __name__ == "__main__":
    main(*sys.argv[1:])
