"""A study whose pictures lie in a bucket ends as one of the same pictures on this disk, byte for byte."""

import os
import urllib.request
from pathlib import Path

import pytest

from levelfield.data.ingest.build import build
from levelfield.data.ingest.places import PlaceSaid, listed_forms
from levelfield.study.run import run_study
from levelfield.study.spec_file import load_study
from tests.conftest import lasting_files, run
from tests.study.pictures import FOLDER_STUDY, write_folder

pytest.importorskip("obstore", reason="levelfield[remote] is not installed")
server_of = pytest.importorskip("moto.server", reason="moto is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture
def bucket(monkeypatch):
    """A store of S3's that nothing but this machine knows of, and the credentials that it takes."""
    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    said = {"ACCESS_KEY_ID": "any", "SECRET_ACCESS_KEY": "any", "REGION": "us-east-1", "ALLOW_HTTP": "true"}
    for name, value in (said | {"ENDPOINT_URL": f"http://{host}:{port}"}).items():
        monkeypatch.setenv(f"AWS_{name}", value)
    put(f"http://{host}:{port}/pictures", None)
    yield f"http://{host}:{port}/pictures"
    server.stop()


def put(url: str, content: bytes | None) -> None:
    asked = urllib.request.Request(url, data=content, method="PUT")
    asked.add_header("Content-Type", "application/octet-stream")
    urllib.request.urlopen(asked, timeout=30).close()


def results_of(folder: Path, place: str, name: str, *, typed: bool) -> dict[str, bytes]:
    """The lasting files of a finished study, but those that say where the pictures lie; of a command if ``typed``."""
    study = folder / f"{name}.toml"
    study.write_text(FOLDER_STUDY.replace('path = "images"', f'path = "{place}"'))
    if typed:
        done = run("run", study, "--dir", folder / name, timeout=600)
        assert done.returncode == 0, done.stderr
    else:
        run_study(load_study(study), folder / name, device="cpu")
    say_where = ("study.json", "sealed.json", "spec.json")
    return {file: content for file, content in lasting_files(folder / name).items() if Path(file).name not in say_where}


def test_a_study_from_a_bucket_ends_as_the_one_from_the_folder(bucket, tmp_path, monkeypatch):
    write_folder(tmp_path / "images", seed=0)
    build(listed_forms(PlaceSaid(path=str(tmp_path / "images"))), tmp_path / "built", shard_bytes=4000)
    files = [path for path in (tmp_path / "built").rglob("*") if path.is_file()]
    assert sum(path.suffix == ".tar" for path in files) > 2
    for path in files:
        put(f"{bucket}/set/{path.relative_to(tmp_path / 'built')}", path.read_bytes())
    near = results_of(tmp_path, str(tmp_path / "built"), "near", typed=False)
    (tmp_path / "built").rename(tmp_path / "gone")
    monkeypatch.setenv("LEVELFIELD_CACHE", str(tmp_path / "cache"))
    far = results_of(tmp_path, "s3://pictures/set", "far", typed=True)
    assert any(name.endswith("report_loss.npy") for name in near)
    assert far.keys() == near.keys()
    assert far == near
    assert list((tmp_path / "cache" / "remote").rglob("*-*-*")), "what was read came from the bucket"
