"""Launchers, by the suite that any new one inherits."""

import pytest

from levelfield.records.execution import DEFAULT_EXECUTION
from levelfield.study.launch.base import LaunchEvent
from levelfield.study.launch.local import LocalLauncher
from levelfield.testing.launchers import check_launcher


def local(path):
    return LocalLauncher(path, num_workers=2, device="cpu", execution=DEFAULT_EXECUTION, checkpoint_seconds=60.0)


@pytest.mark.slow
def test_the_launcher_of_this_machine_is_one(tmp_path):
    check_launcher(local, tmp_path / "checked")


class Boasting:
    """Says that everything is done, and does nothing."""

    def __init__(self):
        self.events = []

    def submit(self, trial):
        self.events += [LaunchEvent(kind="started", trial=trial), LaunchEvent(kind="finished", trial=trial)]

    def next_event(self, timeout_s=None):
        return self.events.pop(0) if self.events else None

    def close(self):
        pass


@pytest.mark.slow
def test_a_launcher_that_tells_of_work_it_has_not_done_is_none(tmp_path):
    with pytest.raises(AssertionError, match="'failed' comes last; trial"):
        check_launcher(lambda path: Boasting(), tmp_path / "checked")
