"""What must be known of the data is said by plan and run, and stands on the page."""

import html

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import run
from tests.study.pictures import FOLDER_STUDY, write_folder


@pytest.mark.slow
def test_a_class_without_a_picture_is_said_in_plan_and_run_and_on_the_page(tmp_path, invoke, monkeypatch, caplog):
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "images", seed=0)
    files = sorted((tmp_path / "images").rglob("*.png"))
    labels = [1 if file.parent.name == "cat" else 3 for file in files]
    pq.write_table(pa.table({"image": [file.read_bytes() for file in files], "label": labels}), "rows.parquet")
    table = FOLDER_STUDY.replace('path = "images"', 'path = "rows.parquet"')
    (tmp_path / "study.toml").write_text(table)
    remark = "2 of 4 classes have no image, '0', '2', so the network cannot learn them; labels run from 1 to 3"
    for verb in (("plan", "study.toml", "--no-calibrate"), ("run", "study.toml")):
        caplog.clear()
        assert invoke(*verb)[0] == 0
        assert remark in caplog.text
    assert invoke("report", "runs/pictures")[0] == 0
    page = (tmp_path / "runs" / "pictures" / "report.html").read_text()
    assert remark in html.unescape(page)


@pytest.mark.slow
def test_what_is_to_be_said_of_the_data_is_said_once_however_many_processes_open_it(tmp_path):
    for seed, part in enumerate(("train", "val", "test")):
        write_folder(tmp_path / "images" / part, seed=seed)
    study = FOLDER_STUDY.replace('path = "images"', f'path = "{tmp_path / "images"}"')
    (tmp_path / "study.toml").write_text(study.replace("report_examples = 6\n", ""))
    done = run("run", tmp_path / "study.toml", "--dir", tmp_path / "study", "--workers", "2", timeout=300)
    assert done.returncode == 0, done.stderr
    assert (done.stdout + done.stderr).count("is not used") == 1, done.stderr
