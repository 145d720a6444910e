"""Import of PyAV, the optional package that reads and writes video files."""

from typing import Any


def import_av() -> Any:
    """Return the module `av`. Raises ValueError with the install command when it is missing."""
    try:
        import av  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError(
            "videos are read and written with PyAV, which is not installed: pip install quintet[video]"
        ) from error
    return av
