"""The serve command: a process on a free port, what it refuses at the start, and how it ends."""

import importlib.util
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest
import uvicorn

from distill import index, serve
from distill.index_retriever import IndexRetriever


@contextmanager
def served(path: Path) -> Iterator[tuple[subprocess.Popen, str]]:
    command = [sys.executable, "-m", "distill.serve", str(path), "--port", "0"]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env
    ) as process:
        try:
            line = process.stdout.readline()
            address = re.fullmatch(r"\d+ items of .* at (http://127\.0\.0\.1:\d+)/\n", line)
            assert address, (line, process.poll())
            yield process, address[1]
        finally:
            process.kill()


def answer_of(url: str, body: Any = None) -> Any:
    content = None if body is None else json.dumps(body).encode()
    request = Request(url, content, {"content-type": "application/json"})
    with urlopen(request, timeout=30) as answer:
        return json.load(answer)


def slow_client(url: str) -> socket.socket:
    """One that has sent a part of its picture."""
    host, port = url.removeprefix("http://").split(":")
    client = socket.create_connection((host, int(port)))
    client.sendall(b"POST /search_image HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99\r\n\r\n1")
    return client


def test_a_process_answers_beside_slow_clients_and_ends_on_sigterm(
    run: Path, shapes: Path, tmp_path: Path
) -> None:
    path = tmp_path / "index"
    index.main([str(run), "--manifest", str(shapes), "--out", str(path)])
    wanted = [hit.id for hit in IndexRetriever.open(path).search_text("a red ellipse", 7)]
    with served(path) as (process, url):
        slow = [slow_client(url) for _ in range(60)]  # more than there are threads
        answer = answer_of(f"{url}/search", {"text": "a red ellipse", "k": 7})
        assert [hit["id"] for hit in answer["results"][0]["hits"]] == wanted
        assert answer_of(f"{url}/health")["items"] == 48
        for client in slow[1:]:
            client.close()
        process.send_signal(signal.SIGTERM)
        slow[0].sendall(b"2" * 98)  # what has begun is still answered
        with closing(slow[0]), slow[0].makefile("rb") as reader:
            assert b" 400 " in reader.readline()
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


def test_ctrl_c_ends_a_run_that_is_served(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """In this process, which starts faster."""
    health: list[Any] = []

    def ask_and_stop(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        def ask() -> None:
            host, port = sockets[0].getsockname()
            health.append(answer_of(f"http://{host}:{port}/health"))
            os.kill(os.getpid(), signal.SIGINT)

        threading.Thread(target=ask).start()
        run_server(server, sockets)

    run_server = uvicorn.Server.run
    monkeypatch.setattr(uvicorn.Server, "run", ask_and_stop)
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        serve.main([str(run), "--port", "0"])
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert [each["items"] for each in health] == [48]
    assert capsys.readouterr().err == ""


def fails(capsys: pytest.CaptureFixture[str], *arguments: object) -> str:
    with pytest.raises(SystemExit) as caught:
        serve.main([str(each) for each in arguments])
    assert caught.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    return printed.err.removeprefix("error: ")


def test_wrong_use(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert fails(capsys, tmp_path, "--port", 0).startswith("run: expected a run folder with ")
    message = "against: expected 'image' or 'text', got 'x'; choose one of them\n"
    assert fails(capsys, run, "--port", 0, "--against", "x") == message
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        message = (
            "port: expected a free one on an address of this machine, got 127.0.0.1 "
            f"{port} (address already in use); give another --port or --host\n"
        )
        assert fails(capsys, run, "--port", port) == message
    for port in (65536, -1):
        assert fails(capsys, run, "--port", port) == (
            f"port: expected 0..65535, got {port}; change it\n"
        )
    for host in ("192.0.2.1", "no such host"):
        error = fails(capsys, run, "--host", host, "--port", 0)
        assert error.startswith(
            f"port: expected a free one on an address of this machine, got {host}"
        )


def test_a_missing_package_names_the_extra(
    run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == "uvicorn" else find(name)
    )
    message = "serve: expected the package uvicorn, got none; pip install 'hamming-kd[serve]'\n"
    assert fails(capsys, run) == message


def test_only_local_names_are_answered_by_a_local_server() -> None:
    local = {"localhost": "127.0.0.1", "LOCALHOST": "127.0.0.1", "127.1": "127.0.0.1", "::1": "::1"}
    for host, address in (local | {"my-machine": "127.0.1.1"}).items():
        names = serve._hosts(host, address)
        assert names[:3] == ["localhost", "127.0.0.1", "[::1]"]
        assert names[3] == ("[::1]" if host == "::1" else host.lower())
    for host, address in (("0.0.0.0", "0.0.0.0"), ("::", "::"), ("photos.example", "10.0.0.7")):
        assert serve._hosts(host, address) == ["*"]


def test_help_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        serve.main(["--help"])
    assert caught.value.code == 0
    printed = capsys.readouterr().out
    for option in ("RUN|INDEX_DIR", "--host", "--port", "--against", "--device"):
        assert option in printed
