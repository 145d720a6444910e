"""Loopback: a cluster of one machine listens on nothing else, and never talks to itself through a proxy."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from ipaddress import ip_address

HOSTS = ("127.0.0.1", "localhost", "::1")
VARIABLES = {"RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
"""Variables that keep a cluster of one machine from listening on every interface; Ray reads them when it is
imported."""


def stay_on_loopback() -> str | None:
    """Make a Ray cluster that this process starts listen on loopback alone; returns a warning when it is too late."""
    is_late = "ray" in sys.modules and any(os.environ.get(name) != value for name, value in VARIABLES.items())
    os.environ.update(VARIABLES)
    if not is_late:
        return None
    settings = " ".join(f"{name}={value}" for name, value in VARIABLES.items())
    return (
        "warning: Ray was imported before Quintet, so the cluster that is started here listens on every interface of "
        f"this machine; set {settings} before Python starts"
    )


def is_loopback(host: str | None) -> bool:
    """Return whether a host is this machine, by an address that no other one has."""
    try:
        return host == "localhost" or (host is not None and ip_address(host).is_loopback)
    except ValueError:
        return False


def bypass_proxy(host: str | None = None) -> None:
    """Except loopback, and `host` if it is an address of loopback, from the proxies in the environment.

    The variables are what urllib, requests, aiohttp and gRPC have in common.
    """
    hosts = [*HOSTS, *([host] if host and is_loopback(host) else [])]
    for name in ("no_proxy", "NO_PROXY"):
        known = os.environ.get(name) or os.environ.get(name.swapcase(), "")
        os.environ[name] = _join(known.split(","), hosts)


@contextmanager
def without_proxies() -> Iterator[None]:
    """Hide the environment's proxies inside the block from clients that refuse some of them even where none is used."""
    names = [name for name in os.environ if name.lower().endswith("_proxy") and name.lower() != "no_proxy"]
    before = {name: os.environ.pop(name) for name in names}
    try:
        yield
    finally:
        os.environ.update(before)


def _join(known: Iterable[str], hosts: Iterable[str]) -> str:
    words = [word.strip() for word in known if word.strip()]
    return "*" if "*" in words else ",".join(dict.fromkeys([*words, *hosts]))
