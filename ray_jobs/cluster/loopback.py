"""Talk of this machine with itself, which never goes through a proxy."""

import os
from collections.abc import Iterable
from ipaddress import ip_address

HOSTS = ("127.0.0.1", "localhost", "::1")


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


def _join(known: Iterable[str], hosts: Iterable[str]) -> str:
    words = [word.strip() for word in known if word.strip()]
    return "*" if "*" in words else ",".join(dict.fromkeys([*words, *hosts]))
