"""``levelfield report`` on anybody's table."""

OTHERS = "examples/others.csv"
NAMED = ("--loss", "val_loss", "--family", "arch", "--role", "role", "--seed", "seed")


def test_a_table_gets_a_page_of_its_own(tmp_path, invoke):
    code, output, error = invoke("report", OTHERS, *NAMED, "--out", tmp_path / "page")
    assert code == 0, error
    assert output.splitlines()[-1] == f"report: {tmp_path / 'page' / 'report.html'}"
    page = (tmp_path / "page" / "report.html").read_text()
    assert "others.csv say of convnet and transformer?" in page
    assert "no cause is claimed" in page
    assert (tmp_path / "page" / "figures" / "loss-flops.svg").exists()


def test_options_of_the_other_kind_are_refused(tmp_path, invoke):
    code, _, error = invoke("report", OTHERS, *NAMED, "--measure", "error")
    assert (code, "--loss names the column" in error) == (2, True)
    code, _, error = invoke("report", tmp_path, "--out", tmp_path / "page")
    assert (code, "leave out --out" in error) == (2, True)
    code, _, error = invoke("report", tmp_path / "nowhere.csv")
    assert (code, "no such file" in error) == (2, True)
