"""Connection to a Ray cluster, with quiet settings."""

import json
import logging
import os
import socket
import sys
import warnings
from urllib.parse import urlsplit

from ray_jobs.cluster.home_folder import provide_home
from ray_jobs.cluster.loopback import bypass_proxy, stay_on_loopback
from ray_jobs.cluster.ray_token import provide_token, use_token
from ray_jobs.cluster.session_folder import choose_session_folder
from ray_jobs.terminal import print_text
from trainables.engine.process import malloc_settings

SETTINGS = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",  # how often reports are fetched; 2 s by default
    "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": "180",  # a worker that hangs is lost; 10 min by default
    "RAY_TRAIN_ENABLE_PRINT_PATCH": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_USAGE_STATS_ENABLED": "0",
    **malloc_settings.VARIABLES,
    "MALLOC_ARENA_MAX": "1",  # other arenas than the first, which a thread gets, hold no buffer above 64 MiB
    "RAY_AIR_NEW_OUTPUT": "0",  # with verbose=0 the old output is silent, the new one is not
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the run's record is ours
    "TUNE_DISABLE_STRICT_METRIC_CHECKING": "1",  # not every report comes with an evaluation
    "TUNE_DISABLE_SIGINT_HANDLER": "1",  # and so is the handling of signals
}
DASHBOARD = "RAY_TRAIN_ENABLE_STATE_TRACKING"
"""Tells the dashboard's Train tab about runs, by an actor; a cluster that is started here has no dashboard."""
ADDRESS = "RAY_ADDRESS"
CLIENT_PORT = 10001
"""Of `ray://` without a port."""
CONNECT_TIMEOUT_S = 5.0
IS_JOB = "RAY_JOB_CONFIG_JSON_ENV_VAR"
"""Set by Ray in the driver of a submitted job."""
_FRAME_HEADER, _SETTINGS = 9, 4
"""Length of an HTTP/2 frame's header, and the type of a frame with settings."""


def has_address() -> bool:
    """Return whether `connect` would reach a cluster that was started by others."""
    return bool(os.environ.get(ADDRESS, "").strip()) or IS_JOB in os.environ


def is_submitted() -> bool:
    """Return whether this process is the driver of a submitted job."""
    return IS_JOB in os.environ


def connect() -> None:
    """Connect to the cluster in RAY_ADDRESS (set inside a submitted job), or start one on this machine.

    An empty RAY_ADDRESS is as good as none. Raises ValueError when no cluster answers at the address, and when there is
    no folder for a local Ray.
    """
    _say(provide_home())
    environment = {name: os.environ.setdefault(name, value) for name, value in SETTINGS.items()}
    for name in _job_environment():
        environment.pop(name, None)  # Ray refuses a variable that is in both
    if _is_connected():
        _quieten()
        return
    bypass_proxy()
    address = os.environ.get(ADDRESS, "").strip()
    if not address:
        os.environ.pop(ADDRESS, None)
    is_local = not address and IS_JOB not in os.environ
    if address and IS_JOB not in os.environ:
        _refuse_dead(address)
        use_token()
    if not is_local and DASHBOARD not in _job_environment():
        environment[DASHBOARD] = os.environ.setdefault(DASHBOARD, "1")
    if is_local:
        _say(choose_session_folder())
        _say(stay_on_loopback())
        provide_token()
    import ray

    try:
        ray.init(
            address="local" if is_local else None,
            include_dashboard=False if is_local else None,
            log_to_driver=False,
            logging_level=logging.ERROR,
            # a cluster started here inherits these; giving them again would keep Ray from prestarting workers
            runtime_env=None if is_local else {"env_vars": environment},
        )
    except ConnectionError as error:
        if not address:
            raise
        raise ValueError(f"{ADDRESS}={address}: {_explain(address)}; or unset it to train here") from error
    _quieten()


def _explain(address: str) -> str:
    """Return why Ray found no way into a cluster at an address where something speaks as one does."""
    if address in ("auto", "local"):
        return "no cluster was found there; start one"
    return (
        "the cluster there lets nobody in; if it asks for a token, put the one that `ray get-auth-token` prints on its "
        "head into RAY_AUTH_TOKEN, into a file named by RAY_AUTH_TOKEN_PATH, or into ~/.ray/auth_token"
    )


def _is_connected() -> bool:
    if "ray" not in sys.modules:  # importing it would fix what it listens on
        return False
    import ray

    return ray.is_initialized()


def _say(line: str | None) -> None:
    if line:
        print_text(line)


def _refuse_dead(address: str) -> None:
    """Raise ValueError when nothing answers at the address as a cluster does; Ray itself would try for minutes."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if address in ("auto", "local") or parts.scheme not in ("", "ray"):
        return  # Ray looks by itself, or refuses at once
    advice = "unset it to train here"
    if host is None or (port is None and parts.scheme == ""):
        raise ValueError(f"{ADDRESS}={address}: this is no address of a cluster, such as 10.0.0.1:6379; {advice}")
    try:
        with socket.create_connection((host, port or CLIENT_PORT), timeout=CONNECT_TIMEOUT_S) as server:
            speaks_grpc = "RAY_USE_TLS" in os.environ or _speaks_http2(server)
    except (OSError, UnicodeError) as error:
        raise ValueError(f"{ADDRESS}={address}: no cluster answers there ({error}); {advice}") from error
    if not speaks_grpc:
        raise ValueError(f"{ADDRESS}={address}: what answers there is no cluster of Ray; correct the port, or {advice}")


def _speaks_http2(server: socket.socket) -> bool:
    """Return whether a server greets as gRPC does (RFC 9113, 3.4): after the client's preface it sends its settings."""
    server.sendall(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, _SETTINGS, 0, 0, 0, 0, 0]))
    head = server.recv(_FRAME_HEADER)
    return len(head) == _FRAME_HEADER and head[3] == _SETTINGS


def _job_environment() -> dict[str, str]:
    """Return the variables that `ray job submit` was given for all processes of the job."""
    settings = json.loads(os.environ.get(IS_JOB, "{}"))
    return settings.get("runtime_env", {}).get("env_vars", {})


def _quieten() -> None:
    import ray.data

    ray.data.DataContext.get_current().enable_progress_bars = False
    for name in ("ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # the shards' reader sets its retries by it; there is no parameter for them that is not deprecated
    warnings.filterwarnings("ignore", message="`ray_remote_args` is deprecated")
    # Tune warns that the files of its own loggers, which are off, are not there
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
