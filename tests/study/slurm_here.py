"""A real Slurm of one node on this machine, by Debian's packages, with a configuration, keys and ports of its own."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

NEEDED = ("munged", "slurmctld", "slurmd", "sbatch")
WHY_NOT = "no Slurm here: apt-get install slurm-wlm munge, as root"

_CONFIGURATION = """
ClusterName=here
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller_port}
SlurmdPort={node_port}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CryptoType=crypto/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=1,batch_sched_delay=0,bf_interval=1
SchedulerType=sched/builtin
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
JobRequeue=1
ReturnToService=2
SlurmctldTimeout=60
SlurmdTimeout=60
KillWait={kill_wait}
MinJobAge=60
MaxJobCount={most_jobs}
OverTimeLimit=0
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
MpiDefault=none
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=4000 State=UNKNOWN
PartitionName=low Nodes={host} Default=YES MaxTime=INFINITE State=UP PriorityTier=1 PreemptMode=REQUEUE GraceTime=1
PartitionName=high Nodes={host} MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=OFF
"""
_PATIENCE_S = 60.0


def is_installed() -> bool:
    """Whether a Slurm can be started here."""
    return os.geteuid() == 0 and all(shutil.which(program) for program in NEEDED)


class SlurmHere:
    """Its programs run until :meth:`stop`; ``environment`` is what its commands need."""

    def __init__(self, folder: Path, *, cpus: int = 2, most_jobs: int = 1000, kill_wait: int = 10) -> None:
        self.folder = folder
        folder.chmod(0o755)
        for name in ("state", "spool"):
            (folder / name).mkdir()
        configuration = _CONFIGURATION.format(
            folder=folder,
            host=socket.gethostname().partition(".")[0],
            controller_port=_free_port(),
            node_port=_free_port(),
            cpus=cpus,
            most_jobs=most_jobs,
            kill_wait=kill_wait,
        )
        (folder / "slurm.conf").write_text(configuration)
        (folder / "cgroup.conf").write_text("CgroupPlugin=cgroup/v1\nCgroupAutomount=no\n")
        (folder / "munge.key").write_bytes(os.urandom(128))
        (folder / "munge.key").chmod(0o400)
        self.environment = {"SLURM_CONF": str(folder / "slurm.conf")}
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self) -> None:
        where = self.folder
        self._begin(
            "munged", "--foreground", "--force", f"--socket={where}/munge.socket", f"--key-file={where}/munge.key",
            f"--pid-file={where}/munge.pid", f"--log-file={where}/munge.log", f"--seed-file={where}/munge.seed",
        )  # fmt: skip
        _wait_for(lambda: (where / "munge.socket").exists(), "munged makes its socket")
        self.start_controller()
        self._begin("slurmd", "-D")
        _wait_for(lambda: "idle" in self.said("sinfo", "-h", "-o", "%T"), "the node is idle")

    def start_controller(self) -> None:
        self._begin("slurmctld", "-D")
        _wait_for(lambda: "UP" in self.said("scontrol", "ping"), "the controller answers")

    def stop_controller(self) -> None:
        self._end("slurmctld")

    def stop(self) -> None:
        subprocess.run(["scancel", "--user", "root"], env=os.environ | self.environment, check=False, timeout=60)
        time.sleep(1)
        for name in reversed(tuple(self._running)):
            self._end(name)

    def said(self, *command: str) -> str:
        """What ``command`` says; nothing where it fails."""
        done = subprocess.run(
            command, env=os.environ | self.environment, capture_output=True, text=True, timeout=60, check=False
        )
        return done.stdout if done.returncode == 0 else ""

    def jobs(self) -> dict[str, str]:
        """The state of every job that it knows of, by its id."""
        return dict(line.split() for line in self.said("squeue", "-h", "-t", "all", "-o", "%i %T").splitlines())

    def names(self) -> list[str]:
        """Those of all jobs of Levelfield that it knows of."""
        named = self.said("squeue", "-h", "-t", "all", "-o", "%j").split()
        return [name for name in named if name.startswith("levelfield-")]

    def running(self) -> list[str]:
        return [job for job, state in self.jobs().items() if state == "RUNNING"]

    def hurry(self) -> None:
        """Have what was put back into the queue start at once: Slurm holds it for two minutes."""
        for line in self.said("squeue", "-h", "-t", "PENDING", "-o", "%i %r").splitlines():
            job, _, reason = line.partition(" ")
            if reason == "BeginTime":
                self.said("scontrol", "update", f"JobId={job}", "StartTime=now")

    def restarts(self, job: str) -> int:
        """How often ``job`` was put back into the queue."""
        found = re.search(r"Restarts=(\d+)", self.said("scontrol", "show", "job", job))
        return int(found[1]) if found else 0

    def _begin(self, program: str, *arguments: str) -> None:
        with (self.folder / f"{program}.out").open("ab") as log:
            self._running[program] = subprocess.Popen(
                [shutil.which(program) or program, *arguments],
                env=os.environ | self.environment, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip

    def _end(self, program: str) -> None:
        process = self._running.pop(program)
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@contextmanager
def slurm_here(folder: Path, *, cpus: int = 2, most_jobs: int = 1000) -> Iterator[SlurmHere]:
    slurm = SlurmHere(folder, cpus=cpus, most_jobs=most_jobs)
    try:
        slurm.start()
        yield slurm
    finally:
        slurm.stop()


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def _wait_for(holds: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _PATIENCE_S
    while not holds():
        assert time.monotonic() < end, f"waited {_PATIENCE_S:.0f} s until {what}"
        time.sleep(0.2)
