"""A cluster of one machine is kept to loopback before Ray is imported, and told when that is too late."""

import os
import subprocess
import sys

from ray_jobs.cluster.loopback import VARIABLES, stay_on_loopback, without_proxies

[VARIABLE] = VARIABLES


def test_before_ray_is_imported_nothing_is_said(monkeypatch):
    monkeypatch.delitem(sys.modules, "ray", raising=False)
    monkeypatch.delenv(VARIABLE, raising=False)
    assert stay_on_loopback() is None and os.environ[VARIABLE] == "0"
    monkeypatch.setitem(sys.modules, "ray", sys)
    assert stay_on_loopback() is None  # it was set before


def test_after_ray_was_imported_the_exposure_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", sys)
    monkeypatch.delenv(VARIABLE, raising=False)
    warning = stay_on_loopback()
    assert warning and "listens on every interface" in warning and f"{VARIABLE}=0" in warning


def test_the_command_line_imports_ray_after_it():
    script = (
        "import os, sys; sys.argv = ['quintet', 'list']; from ray_jobs.__main__ import main; main(); "
        f"assert os.environ['{VARIABLE}'] == '0'"
    )
    environment = {name: value for name, value in os.environ.items() if name not in (VARIABLE, "RAY_ADDRESS")}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, stdout=subprocess.DEVNULL)


def test_no_command_talks_to_this_machine_through_a_proxy():
    script = (
        "import sys, urllib.request; sys.argv = ['quintet', 'list']; from ray_jobs.__main__ import main; main(); "
        "assert urllib.request.proxy_bypass('127.0.0.1:8080') and urllib.request.proxy_bypass('a.org')"
        " and not urllib.request.proxy_bypass('b.org')"
    )
    environment = {**os.environ, "http_proxy": "http://127.0.0.1:9", "no_proxy": "a.org", "NO_PROXY": "a.org"}
    subprocess.run([sys.executable, "-c", script], env=environment, check=True, stdout=subprocess.DEVNULL)


def test_proxies_are_hidden_in_the_block_and_put_back(monkeypatch):
    given = {"all_proxy": "socks5://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", "NO_PROXY": "a.org"}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    with without_proxies():
        assert [name for name in given if name in os.environ] == ["NO_PROXY"]
    assert {name: os.environ[name] for name in given} == given
