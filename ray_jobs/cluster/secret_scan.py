"""Search for secrets in the files of a project: by the names of the files, known spellings, and the user's own."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from ray_jobs.cluster.secret_patterns import NETRC_PASSWORD, load_patterns

BLOCK_BYTES = 2**20
OVERLAP_BYTES = 2**13
"""Bytes that are searched twice, so that no secret is cut in two between blocks."""
SECRET_NAMES = re.compile(
    r"\.env(\.(?!example|sample|template)\w+)?|[._]netrc|\.git-credentials|auth_token|id_(rsa|dsa|ecdsa|ed25519)"
    r"|credentials(\.json)?|kaggle\.json|\.pypirc|\.pgpass|\.htpasswd|.+\.(pem|key|p12|pfx|ppk|jks|kdbx|keystore)",
    re.IGNORECASE,
)
SECRET_VARIABLES = re.compile(r".*(KEY|TOKEN|SECRET|PASSWORD)")
MIN_VARIABLE_LENGTH = 16
MIN_PASSWORD_LENGTH = 8
CONTROL_BYTES = bytes(set(range(32)) - set(b"\t\n\f\r\x1b")) + b"\x7f"
PRINTABLE_RUNS = re.compile(rb"[\t\n\r -~]{6,}|\n")
DATA_RUNS = re.compile(rb"(?<![\w+/-])[\w+/-]{4096,}(?=[\w+/-]{64})")
"""Runs that are longer than any key, but for their end: data in base64 or hex, which would take long to search."""
ESCAPES = re.compile(r"\\[nrt]")


def find_secrets(folder: Path, files: Iterable[str]) -> Iterator[str]:
    """Yield one line for each secret in the files: where and of which kind, never the secret itself.

    The files are read whole, in blocks: text in UTF-8, UTF-16 or UTF-32, or binary. Archives are not opened.
    """
    own = _read_own_secrets()
    for name in files:
        if SECRET_NAMES.fullmatch(Path(name).name):
            yield f"{name}: such files hold secrets"
            continue
        for line, what in sorted(_search_file(folder / name, own).items()):
            yield f"{name}, line {line:,}: holds {what}"


def hide_secrets(words: Iterable[str]) -> list[str]:
    """Return the words of a command; of one that holds a secret only what stands before its `=`, and three stars."""
    own = _read_own_secrets()

    def hide(word: str) -> str:
        if not any(_search_text(word, own)):
            return word
        key, equals, _ = word.partition("=")
        return f"{key}=***" if equals else "***"

    return [hide(word) for word in words]


def _read_own_secrets() -> Mapping[str, str]:
    """Return what the user's variables and netrc files hold, each with the words for it."""
    secrets: dict[str, str] = {}
    for path in (os.environ.get("NETRC", ""), os.path.expanduser("~/.netrc"), os.path.expanduser("~/_netrc")):
        if os.path.isfile(path) and os.access(path, os.R_OK):
            passwords = NETRC_PASSWORD.findall(Path(path).read_text("latin-1"))
            secrets |= {
                value: "a password of your netrc file" for value in passwords if len(value) >= MIN_PASSWORD_LENGTH
            }
    for name, value in os.environ.items():
        if SECRET_VARIABLES.fullmatch(name) and len(value) >= MIN_VARIABLE_LENGTH:
            secrets[os.fsencode(value).decode("latin-1")] = f"the value of {name}"
    return secrets


def _search_file(file: Path, own: Mapping[str, str]) -> dict[int, str]:
    """Return the lines that hold a secret, counted from 1, and of which kind each is."""
    found: dict[int, str] = {}
    with file.open("rb") as stream:
        first_line, tail = 1, b""
        while block := stream.read(BLOCK_BYTES):
            for offset, what in _search_text(_read_text(tail + block), own):
                found.setdefault(first_line + offset, what)
            read = tail + block
            tail = read[-OVERLAP_BYTES:]
            first_line += read.count(b"\n", 0, len(read) - len(tail))
    return found


def _read_text(block: bytes) -> str:
    """Return what can be read in a block, with as many lines as it has.

    Without its zero bytes UTF-16 is ASCII, in any byte order and with or without a mark. Of other bytes only
    the runs of printable characters are kept, which makes the search of images and arrays cheap.
    """
    block = block.replace(b"\0", b"")
    if len(block.translate(None, CONTROL_BYTES)) < len(block):
        block = b"\x0b".join(PRINTABLE_RUNS.findall(block))
    block = DATA_RUNS.sub(b" ", block)
    return ESCAPES.sub(" ", block.decode("latin-1").replace('\\"', '"'))  # a notebook's text stands in JSON


def _search_text(text: str, own: Mapping[str, str]) -> Iterator[tuple[int, str]]:
    for value, what in own.items():
        if (start := text.find(value)) >= 0:
            yield text.count("\n", 0, start), what
    lower = text.lower()
    for pattern in load_patterns():
        for start in pattern.find(text, lower):
            yield text.count("\n", 0, start), pattern.what
