"""The server of the page, on loopback alone, and the settings by which nothing is asked of the internet."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ray_jobs.app.markup import CSS
from ray_jobs.cluster.loopback import bypass_proxy

HOST = "127.0.0.1"
SILENT = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "1"}
"""Variables by which Gradio and the packages that it uses ask nothing of the internet."""
FONTS = {"font": ["system-ui", "sans-serif"], "font_mono": ["ui-monospace", "monospace"]}


def import_gradio(uploads: Path) -> Any:
    """Return the module `gradio`, which keeps dropped files in a folder. Raises ValueError when it is missing."""
    os.environ.update(SILENT, GRADIO_TEMP_DIR=str(uploads))
    try:
        import gradio  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ValueError("the page is drawn by Gradio, which is not installed: pip install quintet[app]") from error
    return gradio


@contextmanager
def serve_page(
    gradio: Any, page: Any, results: Path, *, port: int | None = None, opens_browser: bool = False
) -> Iterator[str]:
    """Serve the page for the length of the block; yields its address.

    The page shows and links to files in the folder `results`. The port is by default a free one.

    Raises:
        ValueError: The port cannot be used.
    """
    from starlette.middleware import Middleware  # pyright: ignore[reportMissingImports]
    from starlette.middleware.trustedhost import TrustedHostMiddleware  # pyright: ignore[reportMissingImports]

    bypass_proxy()
    own_names = Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"])
    try:
        _, address, _ = page.launch(
            server_name=HOST,
            server_port=port,
            share=False,
            inbrowser=opens_browser,
            prevent_thread_lock=True,
            allowed_paths=[str(results)],
            app_kwargs={"middleware": [own_names]},  # a page of another server cannot pass itself off as this one
            theme=gradio.themes.Default(**FONTS),
            css=CSS,
            show_error=True,
            quiet=True,
            footer_links=[],
            run_history=False,
            enable_monitoring=False,
            ssr_mode=False,
            pwa=False,
            mcp_server=False,
        )
    except OSError as error:
        raise ValueError(f"--port {port} cannot be used; give another, or none for a free one") from error
    try:
        yield address
    finally:
        page.close(verbose=False)
