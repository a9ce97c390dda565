"""`python -m distill.serve photos.index`: searches over HTTP, and a page to look at."""

import importlib.util
import os
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Literal

import tyro

from distill.command import one_sentence
from distill.types import DistillError

MAX_CONNECTIONS = 128
STOP_SECONDS = 10
"""How long requests in progress may take when the server is told to stop."""


@dataclass(frozen=True)
class Serve:
    """Answer searches over HTTP, of a trained run or of an index, which may be written meanwhile.

    Texts, pictures and packed codes come in, the nearest items go out as JSON; a browser shows a
    page. There is no password and no encryption: whoever reaches the port may search and see the
    pictures. Needs the packages of the extra hamming-kd[serve]. Ends on SIGTERM and Ctrl-C.
    """

    run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN|INDEX_DIR")]
    """Run folder, as written by python -m distill.train, or index directory, as written by python
    -m distill.index."""
    host: str = "127.0.0.1"
    """Address to listen on; the default can be reached from this machine alone."""
    port: int = 8000
    """Port to listen on; 0 takes a free one."""
    against: Annotated[
        str | None, tyro.conf.arg(constructor=str, metavar="MODALITY", help_behavior_hint="")
    ] = None
    """Search the items' images, their texts, or another modality of the run; without it the images.
    An index has one modality."""
    device: Literal["cpu", "cuda"] = "cpu"
    """Where to encode and search; cuda needs a GPU and CuPy (hamming-kd[cuda12] or [cuda13])."""


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    with one_sentence():
        serve(tyro.cli(Serve, args=arguments, prog="python -m distill.serve"))


def serve(options: Serve) -> None:
    """Serve until a signal comes.

    Raises:
        DistillError: an option cannot be served, or a package is missing.
    """
    for package in ("fastapi", "uvicorn"):
        if importlib.util.find_spec(package) is None:
            raise DistillError(
                f"serve: expected the package {package}, got none; pip install 'hamming-kd[serve]'"
            )
    import uvicorn

    from distill.serving.app import make_app
    from distill.serving.served import open_served

    with _listening(options.host, options.port) as listening:
        served = open_served(options.run, against=options.against, device=options.device)
        served.warm_up()
        config = uvicorn.Config(
            make_app(served, hosts=_hosts(options.host, listening.getsockname()[0])),
            log_level="warning",
            server_header=False,
            limit_concurrency=MAX_CONNECTIONS,
            timeout_graceful_shutdown=STOP_SECONDS,
        )
        server = uvicorn.Server(config)
        # uvicorn raises the signal anew when it has ended: then it must not kill.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, server.handle_exit)
        host, port = listening.getsockname()[:2]
        n_items, name = len(served.state.index), f"[{host}]" if ":" in host else host
        print(f"{n_items} items of {served.about['path']} at http://{name}:{port}/", flush=True)
        server.run(sockets=[listening])


def _listening(host: str, port: int) -> socket.socket:
    """A socket that keeps who calls before all is loaded waiting."""
    if not 0 <= port <= 65535:
        raise DistillError(f"port: expected 0..65535, got {port}; change it")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=MAX_CONNECTIONS)
    except (OSError, UnicodeError) as error:
        reason = (getattr(error, "strerror", None) or str(error)).partition(" (")[0]
        raise DistillError(
            f"port: expected a free one on an address of this machine, got {host} {port} "
            f"({reason.lower()}); give another --port or --host"
        ) from error


def _hosts(host: str, address: str) -> list[str]:
    """Names by which clients may call.

    A server for this machine alone answers to its names alone: otherwise a page from elsewhere,
    whose name is made to lead here, could read the pictures with its visitor's browser.

    Args:
        host: as given.
        address: that it became.
    """
    if not ip_address(address).is_loopback:
        return ["*"]
    named = f"[{host}]" if ":" in host else host
    return ["localhost", "127.0.0.1", "[::1]", named.lower()]


if __name__ == "__main__":
    main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # threads that still compute would be waited for
