"""Downloads against a local server: resumed, checked, refused."""

from __future__ import annotations

import gzip
import hashlib
import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from omicsai.domains import builtin_files, open_library, pfam_files, read_clans
from omicsai.errors import InputError, ToolError
from omicsai.fetch import fetch

CONTENT = bytes(range(256)) * 5000


class Handler(BaseHTTPRequestHandler):
    """Serves `server.files`; may cut transfers off and may know Range or not."""

    protocol_version = "HTTP/1.0"

    def do_GET(self):
        server = self.server
        asked = self.headers.get("Range")
        server.asked.append((self.path, asked))
        body = server.files.get(self.path)
        if body is None:
            self.send_error(404)
            return
        start = int(asked.split("=")[1].rstrip("-")) if asked and server.ranges else 0
        if start >= len(body) > 0 and start:
            self.send_error(416)
            return
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        whole = body[start:]
        cut = server.cuts.pop(0) if server.cuts else len(whole)
        self.wfile.write(whole[:cut])

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    running = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.files, running.asked, running.cuts, running.ranges = {}, [], [], True
    running.files["/a.bin"] = CONTENT
    running.url = f"http://127.0.0.1:{running.server_address[1]}"
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()


def sha256(content: bytes) -> str:
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def test_a_file_comes_once(server, tmp_path):
    for _ in range(2):
        path = fetch(f"{server.url}/a.bin", tmp_path / "a", checksum=sha256(CONTENT))
        assert path.read_bytes() == CONTENT
    assert len(server.asked) == 1
    assert not list(tmp_path.glob("*.download"))


@pytest.mark.parametrize("ranges", [True, False])
def test_a_transfer_cut_off_is_resumed(server, tmp_path, ranges):
    server.cuts, server.ranges = [300_000, 500_000], ranges
    url = f"{server.url}/a.bin"
    for _ in range(2):
        with pytest.raises(ToolError, match="run again to resume"):
            fetch(url, tmp_path / "a", checksum=sha256(CONTENT))
        assert not (tmp_path / "a").exists()
    assert fetch(url, tmp_path / "a", checksum=sha256(CONTENT)).read_bytes() == CONTENT
    expected = ["bytes=300000-", "bytes=800000-" if ranges else "bytes=500000-"]
    assert [asked for _, asked in server.asked] == [None, *expected]


def test_wrong_bytes_are_not_kept(server, tmp_path):
    with pytest.raises(ToolError, match=r"sha256 is .* expected 0{64}; .* run again"):
        fetch(f"{server.url}/a.bin", tmp_path / "a", checksum=f"sha256:{'0' * 64}")
    assert not list(tmp_path.glob("a*"))


def test_a_complete_download_that_was_not_yet_checked_is_taken(server, tmp_path):
    (tmp_path / "a.download").write_bytes(CONTENT)
    fetch(f"{server.url}/a.bin", tmp_path / "a", checksum=sha256(CONTENT))
    assert (tmp_path / "a").read_bytes() == CONTENT


def test_problems_are_named(server, tmp_path):
    with pytest.raises(ToolError, match="the server answers 404"):
        fetch(f"{server.url}/none", tmp_path / "a")
    with pytest.raises(InputError, match="only http, https and file"):
        fetch("ftp://127.0.0.1/a", tmp_path / "a")
    with pytest.raises(InputError, match="expected 'sha256:…'"):
        fetch(f"{server.url}/a.bin", tmp_path / "a", checksum="crc:1")
    server.server_close()
    server.shutdown()
    with pytest.raises(ToolError, match="run again to resume"):
        fetch(f"{server.url}/a.bin", tmp_path / "b")


def test_a_broken_chunk_is_one_line(server, tmp_path, monkeypatch):
    def broken(self, amount=-1):
        raise http.client.IncompleteRead(b"", 10)

    monkeypatch.setattr(http.client.HTTPResponse, "read", broken)
    with pytest.raises(ToolError, match="what came is kept, run again to resume"):
        fetch(f"{server.url}/a.bin", tmp_path / "a")


def release(server) -> None:
    """Put a small Pfam on the server: the real layout, our profiles."""
    profiles = builtin_files().profiles.read_bytes()
    dat = gzip.compress(
        b"# STOCKHOLM 1.0\n#=GF ID   AlaRS_1\n#=GF AC   PF1.2\n#=GF CL   CL9\n//\n"
    )
    sums = "".join(
        f"{hashlib.md5(content).hexdigest()}  {name}\n"
        for name, content in (("Pfam-A.hmm.gz", profiles), ("Pfam-A.hmm.dat.gz", dat))
    )
    base = "/releases/Pfam37.4"
    server.files |= {
        f"{base}/Pfam-A.hmm.gz": profiles, f"{base}/Pfam-A.hmm.dat.gz": dat,
        f"{base}/md5_checksums": sums.encode(),
    }  # fmt: skip


def test_pfam_comes_with_its_clans_and_is_pressed_once(server, tmp_path):
    release(server)
    url = f"{server.url}/releases"
    files = pfam_files(tmp_path, url=url, release="37.4")
    library = open_library(files.profiles, cache=tmp_path)
    assert library.profiles == open_library(builtin_files().profiles).profiles
    assert read_clans(files.clans).clan("AlaRS_1", "") == "CL9"
    pressed = {p: p.stat().st_mtime_ns for p in tmp_path.glob("profiles-*/*")}
    asked = len(server.asked)
    again = pfam_files(tmp_path, url=url, release="37.4")
    open_library(again.profiles, cache=tmp_path)
    assert len(server.asked) == asked
    assert {p: p.stat().st_mtime_ns for p in tmp_path.glob("profiles-*/*")} == pressed


def test_the_word_pfam_on_the_command_line(server, tmp_path, simulated, run_omicsai):
    release(server)
    fasta = tmp_path / "a.fasta"
    fasta.write_text("".join(f">{s.id}\n{s.residues}\n" for s in simulated.known[:3]))
    url = f"{server.url}/releases"
    assert run_omicsai(
        "annotate", fasta, "--profiles", "pfam", "--pfam-release", "37.4",
        "--pfam-url", url, "--out", tmp_path / "out",
    ) == 0  # fmt: skip
    assert (tmp_path / "out" / "domains.tsv").read_text().count("\n") > 1


def test_a_release_without_checksums_is_refused(server, tmp_path):
    release(server)
    server.files["/releases/Pfam37.4/md5_checksums"] = b"0  other\n"
    with pytest.raises(
        ToolError, match=r"does not list Pfam-A\.hmm\.gz: check the release"
    ):
        pfam_files(tmp_path, url=f"{server.url}/releases", release="37.4")
