"""The HTTP service: its answers are those of a search, and what is wrong is one sentence."""

import io
import json
import os
import shutil
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from fastapi.testclient import TestClient
from PIL import Image

from distill import index
from distill.index_folder import read_index
from distill.index_format import IndexItem
from distill.index_retriever import IndexRetriever
from distill.index_writer import Changes, writing
from distill.retriever import Retriever
from distill.serving.app import make_app
from distill.serving.guard import BODY_BYTES, IMAGE_BYTES
from distill.serving.served import open_served


def make(run: Path, out: Path, *arguments: object) -> Path:
    index.main([str(each) for each in (run, *arguments, "--out", out)])
    return out


@pytest.fixture(scope="module")
def indexed(_finished_run: Path, shapes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make(_finished_run, tmp_path_factory.mktemp("served") / "i", "--manifest", shapes)


@pytest.fixture(scope="module")
def client(indexed: Path) -> Iterator[TestClient]:
    with TestClient(make_app(open_served(indexed))) as client:
        yield client


@pytest.fixture
def path(indexed: Path, tmp_path: Path) -> Path:
    """A copy that the test may change."""
    return shutil.copytree(indexed, tmp_path / "index")


def hits_of(answer) -> list[list[tuple]]:
    """(rank, id, distance, text, path) of each hit of each query."""
    assert answer.status_code == 200, answer.text
    return [[tuple(hit.values()) for hit in result["hits"]] for result in answer.json()["results"]]


def error_of(answer, status: int = 400) -> str:
    assert answer.status_code == status, answer.text
    (error,) = answer.json().values()
    assert "\n" not in error
    assert "Traceback" not in error
    return error


def ranked(hits: list) -> list[tuple]:
    return [(rank, *hit) for rank, hit in enumerate(hits, start=1)]


def test_texts_pictures_and_codes_are_searched_as_by_the_retriever(
    client: TestClient, indexed: Path, shapes: Path
) -> None:
    retriever = IndexRetriever.open(indexed)
    texts = ["a red ellipse", "green", "a red ellipse"]
    for k in (1, 7, 48):
        wanted = [ranked(retriever.search_text(text, k)) for text in texts]
        assert hits_of(client.post("/search", json={"texts": texts, "k": k})) == wanted
        assert hits_of(client.post("/search", json={"text": texts[0], "k": k})) == wanted[:1]
        picture = shapes.parent / "5.png"
        wanted = [ranked(retriever.search_image(picture, k))]
        content = picture.read_bytes()
        assert hits_of(client.post(f"/search_image?k={k}", content=content)) == wanted
        code = client.get("/items/5").json()["code"]
        assert hits_of(client.post("/search_codes", json={"codes": [code], "k": k})) == wanted
    assert hits_of(client.post("/search", json={"text": "red"})) == [
        ranked(retriever.search_text("red"))
    ]


def test_filters(client: TestClient, indexed: Path, shapes: Path) -> None:
    retriever, chosen = IndexRetriever.open(indexed), [3, 4, 40, 99]
    wanted = [ranked(retriever.search_text("red", 10, filter=np.array(chosen)))]
    assert len(wanted[0]) == 3
    assert hits_of(client.post("/search", json={"text": "red", "filter": chosen})) == wanted
    assert hits_of(client.post("/search", json={"text": "red", "filter": []})) == [[]]
    content = (shapes.parent / "5.png").read_bytes()
    found = hits_of(client.post("/search_image?filter=3&filter=4", content=content))
    assert sorted(hit[1] for hit in found[0]) == [3, 4]


def test_a_run_is_served_too(run: Path, shapes: Path) -> None:
    retriever = Retriever.load(run)
    client = TestClient(make_app(open_served(run, against="text")))
    wanted = [ranked(retriever.search_text("a red ellipse", 9, against="text"))]
    assert hits_of(client.post("/search", json={"text": "a red ellipse", "k": 9})) == wanted
    assert client.get("/items/5/image").content == (shapes.parent / "5.png").read_bytes()
    error_of(client.get("/items/48/image"), 404)
    health = client.get("/health").json()
    assert (health["modality"], health["generation"], health["bits"]) == ("text", 0, 16)


def test_items_without_what_is_searched_are_never_found(four_run: Path) -> None:
    retriever = Retriever.load(four_run)
    served = open_served(four_run, against="fluent")
    client = TestClient(make_app(served))
    n = retriever.n_items["fluent"]
    assert n < len(retriever.dataset)
    wanted = [ranked(retriever.search_text("red", n, against="fluent"))]
    assert hits_of(client.post("/search", json={"text": "red", "k": n})) == wanted
    assert client.get("/health").json()["items"] == n


def test_health(client: TestClient, indexed: Path) -> None:
    assert client.get("/health").json() == {
        "ready": True,
        "items": 48,
        "bits": 16,
        "path": str(indexed),
        "modality": "image",
        "method": "soda",
        "backbone": "tiny",
        "queries": ["text", "image"],
        "generation": read_index(indexed).manifest.next_file,
        "problem": None,
    }


def png_of(width: int, height: int) -> bytes:
    """A few bytes that claim to be a large picture."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    body = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + body


TOO_LARGE = "expected at most 67108864 pixels, got"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "body: expected a value, got none"),
        (
            b"no picture",
            "image: expected one of AVIF, BMP, GIF, JPEG, PNG, PPM, TIFF, WEBP, got 10",
        ),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "image: expected one of AVIF, "),
        (b"\x89PNG\r\n\x1a\n", "image: expected one of AVIF"),
        (png_of(40, 40), "image: expected a complete image, got "),
        (png_of(8193, 8192), f"image: {TOO_LARGE} 67117056; make it smaller"),
        (png_of(10_000, 10_000), f"image: {TOO_LARGE} "),
        (png_of(50_000, 50_000), f"image: {TOO_LARGE} more"),
    ],
)
def test_pictures_that_cannot_be_decoded(client: TestClient, content: bytes, message: str) -> None:
    assert error_of(client.post("/search_image", content=content)).startswith(message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "body: expected JSON, got something else"),
        ("[]", "body: expected a JSON object with content-type: application/json, got []"),
        (b'{"text": "\xff"}', "body: expected JSON in UTF-8, got something else"),
        ("[" * 100_000, "body: expected JSON"),
        ('{"text": "\\ud800"}', "text: expected a valid string, got '\\ud800'"),
        ("{}", "query: expected text or texts, got neither; give one"),
        ('{"text": "a", "texts": ["b"]}', "query: expected text or texts, got both; give one"),
        ('{"text": " "}', "text: expected words, got an empty text; "),
        ('{"text": 5}', "text: expected a valid string, got 5; see docs/serving.md"),
        ('{"texts": []}', "texts: expected at least 1 item, got []"),
        (json.dumps({"texts": ["a"] * 65}), "texts: expected at most 64 items, got ['a', 'a'"),
        (json.dumps({"text": "a" * 10_001}), "text: expected at most 10000 characters, got 'aaa"),
        ('{"text": "a", "k": 0}', "k: expected greater than or equal to 1, got 0; "),
        ('{"text": "a", "k": 49}', "k: expected 1..48 items, got 49; change it"),
        ('{"text": "a", "k": 1001}', "k: expected less than or equal to 1000, got 1001; "),
        ('{"text": "a", "k": 1e400}', "k: expected a valid integer, got inf; "),
        ('{"text": "a", "k": "5"}', "k: expected a valid integer, got '5'; "),
        ('{"text": "a", "filter": [-1]}', "filter.0: expected greater than or equal to 0, got -1"),
        ('{"text": "a", "filter": [9223372036854775808]}', "filter.0: expected less than 9223"),
        ('{"text": "a", "as": "image"}', "as: expected text for texts, got image; choose one"),
        ('{"text": "a", "top": 5}', "top: expected no such key, got 5; "),
        ('{"text": "a", "\\ud800": 5}', "body: expected a valid string, got '"),
        (json.dumps({"text": "a", "a" * 999: 5}), f"{'a' * 60}: expected no such key, got 5; "),
        ('{"text": "a", "as": "\\ud800"}', "as: expected a valid string, got '"),
        ('{"text": "a", "k": ' + "9" * 5000 + "}", "body: expected JSON in UTF-8, got something"),
    ],
)
def test_wrong_json(client: TestClient, body: str | bytes, message: str) -> None:
    headers = {"content-type": "application/json"}
    assert error_of(client.post("/search", content=body, headers=headers)).startswith(message)


def test_json_must_be_named(client: TestClient) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    message = "body: expected a JSON object with content-type: application/json, got b'{"
    assert error_of(client.post("/search", content='{"text": "a"}', headers=form)) == (
        message + '"text": "a"}\'; see docs/serving.md'
    )
    assert error_of(client.post("/search_image", json={})).startswith(
        "body: expected the bytes of a picture, got {}"
    )


def test_wrong_codes(client: TestClient) -> None:
    for code in ("", "ff", "ffffff", "xyzw", "ff f", "f" * 10_000):
        error = error_of(client.post("/search_codes", json={"codes": [code]}))
        assert error.startswith("codes.0: expected 4 hex digits of 16 bits, got '")
        assert len(error) < 200


def test_bodies_that_are_too_long(client: TestClient) -> None:
    for path, limit in (("/search", BODY_BYTES), ("/search_image", IMAGE_BYTES)):
        message = f"body: expected at most {limit} bytes, got more; send less at a time"
        assert error_of(client.post(path, content=bytes(limit + 1)), 413) == message
        pieces = iter([bytes(limit), b"1"])  # without a content-length
        assert error_of(client.post(path, content=pieces), 413) == message


@pytest.mark.parametrize(
    "path",
    [
        "/items/../../../etc/passwd",
        "/items/%2e%2e%2f%2e%2e%2fetc%2fpasswd",
        "/items//etc/passwd",
        "/items/48",
        "/items/48/image",
        "/items/0/image/../../../index.json",
        "/search/",
        "/docs",
    ],
)
def test_nothing_but_items_is_given(client: TestClient, path: str) -> None:
    error_of(client.get(path), 404)


@pytest.mark.parametrize("name", ["-1", "x", "9223372036854775808", "%00", "5%2fimage%00"])
def test_wrong_ids(client: TestClient, name: str) -> None:
    for path in (f"/items/{name}", f"/items/{name}/image"):
        assert client.get(path).status_code in (400, 404)


def test_pictures_are_those_that_were_indexed(run: Path, photos: Path, tmp_path: Path) -> None:
    path = make(run, tmp_path / "index", "--images", photos)
    client = TestClient(make_app(open_served(path)))
    item = client.get("/items/0").json()
    file = Path(item["path"])
    answer = client.get("/items/0/image")
    assert answer.content == file.read_bytes()
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["x-content-type-options"] == "nosniff"
    secret = tmp_path / "secret"
    secret.write_text("secret")
    file.unlink()
    file.symlink_to(secret)
    gone = error_of(client.get("/items/0/image"), 404)
    assert gone.startswith("item: expected 0 with the picture that was indexed, got one that is")
    os.utime(secret, ns=(stamp := read_index(path).item(0).stamp.mtime_ns, stamp))
    secret.write_bytes(b"x" * read_index(path).item(0).stamp.size)
    os.utime(secret, ns=(stamp, stamp))  # a file of the same size and time that is no picture
    assert error_of(client.get("/items/0/image"), 404).endswith("got another file")
    file.unlink()
    error_of(client.get("/items/0/image"), 404)
    assert client.get("/?item=0").status_code == 200  # without its thumbnail


def test_the_page(client: TestClient) -> None:
    answer = client.get("/", params={"text": '"><script>alert(1)</script>', "k": 48})
    assert answer.status_code == 200
    assert "<script" not in answer.text
    assert "&lt;script&gt;alert(1)" in answer.text
    assert "&lt;b&gt;bold&lt;/b&gt; &amp; red" in answer.text  # the text of item 0
    assert answer.text.count('src="data:image/webp;base64,') == 48
    assert "http" not in answer.text
    assert "script-src" not in answer.headers["content-security-policy"]
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; ")
    for query, n in (("/", 20), ("/?item=5&k=3", 3), ("/?text=", 20)):
        assert client.get(query).text.count('<li class="hit') == n
    wrong = client.get("/?item=99")
    assert wrong.status_code == 404
    assert "item: expected the id of an item, got 99; " in wrong.text
    error_of(client.get("/?k=x"))


def test_a_run_that_takes_no_texts_shows_no_search_box(
    indexed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = open_served(indexed)
    monkeypatch.setattr(served, "encodes", ["image"])
    assert "<form" not in TestClient(make_app(served)).get("/").text


def test_names_that_are_no_unicode_are_answered(path: Path) -> None:
    with writing(path, read_index(path).manifest.about) as writer:
        writer.source("photos")
        new = IndexItem(-1, "/a\udcff.png", "", None, 0)
        writer.commit(Changes([new], np.array([[0, 0]], np.uint8), range(48), {}))
    client = TestClient(make_app(open_served(path)))
    assert hits_of(client.post("/search_codes", json={"codes": ["0000"]})) == [
        [(1, 48, 0, "", "/a?.png")]
    ]
    assert "a?.png" in client.get("/").text


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_commits_are_taken_over(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with TestClient(make_app(open_served(path), refresh_seconds=0.02)) as client:
        before = client.get("/health").json()
        with writing(path, read_index(path).manifest.about) as writer:
            writer.source("photos")
            new = IndexItem(-1, "/new.png", "new", None, 0)
            writer.commit(Changes([new], np.array([[255, 255]], np.uint8), [0, 1], {}))
        until(lambda: client.get("/health").json()["generation"] > before["generation"])
        assert client.get("/health").json()["items"] == 47
        answer = client.post("/search_codes", json={"codes": ["ffff"], "k": 1})
        assert hits_of(answer) == [[(1, 48, 0, "new", "/new.png")]]
        error_of(client.get("/items/0"), 404)
        (path / "index.json").rename(path / "away")
        until(lambda: client.get("/health").json()["problem"] is not None)
        assert client.get("/health").json()["problem"].startswith("index: expected an index dir")
        assert hits_of(client.post("/search_codes", json={"codes": ["ffff"], "k": 1}))
        time.sleep(0.2)  # it is looked for again and again
        (path / "away").rename(path / "index.json")
        until(lambda: client.get("/health").json()["problem"] is None)
    assert capsys.readouterr().err.count("not refreshed: index: expected") == 1  # not each time


def test_a_batch_sees_one_state(path: Path) -> None:
    """All items of one commit bear its name, whatever is committed while texts are encoded."""
    served = open_served(path)
    failures: list[BaseException] = []
    done = threading.Event()

    def searching() -> None:
        client = TestClient(make_app(served))
        try:
            while not done.is_set():
                answer = client.post("/search", json={"texts": ["red", "green"], "k": 48})
                found = [hit for hits in hits_of(answer) for hit in hits]
                assert len(found) == 96
                assert len({path for _, item_id, _, _, path in found if item_id >= 48}) <= 1
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=searching)
    thread.start()
    with writing(path, read_index(path).manifest.about) as writer:
        writer.source("photos")
        for commit in range(20):
            old = writer.state.index().ids.tolist()
            new = [IndexItem(-1, f"/{commit}.png", "", None, 0) for _ in range(48)]
            writer.commit(Changes(new, np.zeros((48, 2), np.uint8), old, {}))
            served.refresh()
            assert served.problem is None
    done.set()
    thread.join()
    assert not failures


def test_an_empty_index(path: Path) -> None:
    with writing(path, read_index(path).manifest.about) as writer:
        writer.commit(Changes([], np.empty((0, 2), np.uint8), range(48), {}))
    client = TestClient(make_app(open_served(path)))
    assert client.get("/health").json()["items"] == 0
    assert client.get("/").status_code == 200
    error = error_of(client.post("/search", json={"text": "red"}))
    assert error.startswith("index: expected items in ")


def test_names_of_other_machines_are_refused(indexed: Path) -> None:
    app = make_app(open_served(indexed), hosts=["127.0.0.1"])
    assert TestClient(app, base_url="http://127.0.0.1:8000").get("/health").status_code == 200
    error = error_of(TestClient(app, base_url="http://evil.example").get("/health"), 403)
    assert error == "host: expected one of 127.0.0.1, got 'evil.example'; see docs/serving.md"


def test_a_page_of_another_site_may_not_search(client: TestClient) -> None:
    for site, status in (("cross-site", 403), ("same-origin", 200)):
        headers = {"sec-fetch-site": site}
        found = client.post("/search", json={"text": "red"}, headers=headers)
        assert found.status_code == status
        picture = client.get("/?text=red", headers=headers | {"sec-fetch-dest": "image"})
        assert picture.status_code == status
        link = client.get("/?text=red", headers=headers | {"sec-fetch-dest": "document"})
        assert link.status_code == 200


def test_a_picture_of_a_line_is_refused(client: TestClient) -> None:
    """Enlarged to what a tower takes it would fill the memory."""
    file = io.BytesIO()
    Image.new("1", (1, 65_000)).save(file, "PNG")
    error = error_of(client.post("/search_image", content=file.getvalue()))
    assert error == "image: expected sides of at most 1 to 200, got 1 x 65000 pixels"


def test_options_in_the_url_are_checked(client: TestClient) -> None:
    file = io.BytesIO()
    Image.new("RGB", (40, 40), "red").save(file, "PNG")
    found = client.post("/search_image?k=2&filter=3&filter=4", content=file.getvalue()).json()
    assert sorted(hit["id"] for hit in found["results"][0]["hits"]) == [3, 4]
    for options in ("filters=3", "k=0", "k=x", "as=sound"):
        error_of(client.post(f"/search_image?{options}", content=file.getvalue()))


def test_head_is_answered_and_errors_are_described(client: TestClient) -> None:
    for path in ("/health", "/", "/items/0", "/items/0/image"):
        head, get = client.head(path), client.get(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"] == get.headers["content-type"]
    described = client.get("/openapi.json").json()
    for operations in described["paths"].values():
        for operation in operations.values():
            assert set(operation["responses"]) == {"200", "default"}
    assert set(described["components"]["schemas"]["Refused"]["properties"]) == {"error"}


def test_a_bug_is_told_to_the_log_alone(indexed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    served = open_served(indexed)

    def broken(*_: object) -> None:
        raise RuntimeError("secret")

    monkeypatch.setattr(served, "search", broken)
    client = TestClient(make_app(served), raise_server_exceptions=False)
    error = error_of(client.post("/search", json={"text": "red"}), 500)
    assert error == "server: expected to answer, failed; its log says why"


def test_pictures_of_any_mode(client: TestClient) -> None:
    found = []
    for image in (Image.new("RGB", (40, 40), "white"), Image.new("RGBA", (40, 40), (255, 0, 0, 0))):
        file = io.BytesIO()
        image.save(file, "PNG")
        found.append(hits_of(client.post("/search_image", content=file.getvalue())))
    assert found[0] == found[1]
