"""Hook of the docs site: links that lead out of docs/ become plain text, or links to the repository if it is known."""

import posixpath
import re
from typing import Any


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """Return the page without links that the site cannot follow. Called by MkDocs for each page."""
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))

    def replace(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link["path"]))
        if path.startswith("docs/"):
            return link[0]
        base = (config["repo_url"] or "").rstrip("/")
        return f"[{link['text']}]({base}/blob/main/{path})" if base else link["text"]

    return re.sub(r"(?<!!)\[(?P<text>[^]]+)\]\((?P<path>\.\./[^)#\s]+)[^)\s]*\)", replace, markdown)
