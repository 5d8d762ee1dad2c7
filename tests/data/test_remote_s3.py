"""The same against an S3 server that is somebody else's: moto's, started here, with the bad one before it."""

import os
import urllib.request

import numpy as np
import pytest
from test_remote import BY_DIGEST, CONTENTS, INDEX, NUMBER, TARS
from tests.far_away import BadServer

from levelfield.data.stores.extents import ExtentCache
from levelfield.data.stores.far import FarStore
from levelfield.data.stores.remote import RemoteReadError, RemoteShards

pytest.importorskip("obstore", reason="levelfield[remote] is not installed")
server_of = pytest.importorskip("moto.server", reason="moto is not installed")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def bucket():
    server = server_of.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, content in [("pictures", None), *((f"pictures/set/{name}", content) for name, content in TARS.items())]:
        asked = urllib.request.Request(f"http://{host}:{port}/{name}", data=content, method="PUT")
        asked.add_header("Content-Type", "application/octet-stream")
        urllib.request.urlopen(asked, timeout=30).close()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def credentials(monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in {"ACCESS_KEY_ID": "any", "SECRET_ACCESS_KEY": "any", "REGION": "us-east-1"}.items():
        monkeypatch.setenv(f"AWS_{name}", value)
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    return monkeypatch


def store(tmp_path) -> FarStore:
    cache = ExtentCache(tmp_path / "cache", 2**24)
    shards = RemoteShards("s3://pictures/set", sorted(TARS), cache, pause=lambda seconds: None)
    return FarStore(shards, INDEX, CONTENTS, of="s3")


def test_pictures_come_from_s3_through_every_fault_and_nothing_is_skipped(bucket, credentials, tmp_path):
    with BadServer(upstream=bucket, latency_s=0.002, error=0.2, cut=0.15, short=0.1, wrong=0.1, closed=0.1) as bad:
        credentials.setenv("AWS_ENDPOINT_URL", bad.url)
        for place in range(4):  # how reads are joined to requests, and so the number of these, is up to the threads
            far = store(tmp_path / str(place))
            far.expect(np.arange(0, NUMBER, 3))
            for row in range(NUMBER):
                assert far.read(row) == BY_DIGEST[INDEX.digests[row].tobytes()]
            far.close()
        assert sum(bad.met.values()) >= 10
        assert len(bad.met) >= 4


def test_an_s3_that_dies_in_mid_epoch_stops_the_reader(bucket, credentials, tmp_path):
    with BadServer(upstream=bucket, dies_after=15) as bad:
        credentials.setenv("AWS_ENDPOINT_URL", bad.url)
        far = store(tmp_path)
        with pytest.raises(RemoteReadError, match="run again"):
            b"".join(far.read(row) for row in range(NUMBER))


def test_an_object_that_is_not_there_is_told_at_once(bucket, credentials, tmp_path):
    credentials.setenv("AWS_ENDPOINT_URL", bucket)
    shards = RemoteShards("s3://pictures/set", ["lost.tar"], ExtentCache(tmp_path / "cache", 2**20))
    far = FarStore(shards, INDEX, CONTENTS, of="s3")
    with pytest.raises(FileNotFoundError, match=r"s3://pictures/set/lost.tar is not there"):
        far.read(int(np.flatnonzero(INDEX.shards == 0)[0]))
