"""A Slurm cluster of one node on 127.0.0.1.

Needs root and Debian's slurm-wlm and munge. Writes to one folder only; all
servers listen on the loopback interface only and are ended by their pid.
"""

import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

ROOT = pathlib.Path(__file__).parent.parent
PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch", "srun", "scontrol")
SYSTEM_PATH = os.pathsep.join((os.environ["PATH"], "/usr/sbin", "/sbin"))

# Two partitions share the node: a job in `urgent` preempts one in `spot`, which
# has a minute to exit. A requeued job waits `cred_expire` seconds; Slurm
# replaces values below five by two minutes.
CONF = """
ClusterName=loopback
SlurmctldHost=localhost(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=5
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
ReturnToService=2
SlurmdParameters=config_overrides
SchedulerParameters=sched_interval=1,bf_interval=1
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
KillWait=30
NodeName=localhost NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000
PartitionName=spot Nodes=localhost Default=YES PriorityTier=1 GraceTime=60
PartitionName=urgent Nodes=localhost PriorityTier=2 PreemptMode=OFF
"""


def why_not() -> str:
  """Returns why no cluster can be started here; '' if one can."""
  if os.name != "posix" or os.geteuid() != 0:
    return "Slurm's daemons need root"
  if missing := [p for p in PROGRAMS if not shutil.which(p, path=SYSTEM_PATH)]:
    return f"{missing[0]} is missing: apt-get install slurm-wlm munge"
  # srun listens on the address of the host's name.
  try:
    address = socket.gethostbyname(socket.gethostname())
  except OSError as error:
    return f"the host's name has no address: {error}"
  if not address.startswith("127."):
    return f"srun would listen on {address}, not on the loopback interface"
  return ""


def free_ports(count: int) -> list[int]:
  with contextlib.ExitStack() as stack:
    sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
    for each in sockets:
      each.bind(("127.0.0.1", 0))
    return [each.getsockname()[1] for each in sockets]


def wait_for(what: Callable[[], bool], seconds: float, name: str) -> None:
  """Polls `what()` twice a second; raises TimeoutError after `seconds`."""
  end = time.monotonic() + seconds
  while not what():
    if time.monotonic() > end:
      raise TimeoutError(f"{name}: not true within {seconds} s")
    time.sleep(0.5)


class Cluster:
  """Runs Slurm's commands for one cluster."""

  def __init__(self, folder: pathlib.Path, ports: list[int]):
    self.folder = folder
    [port] = free_ports(1)
    self.environment = {
      "HOME": os.environ.get("HOME", "/root"),
      # Jobs use the same Python as the tests.
      "PATH": os.path.dirname(sys.executable) + os.pathsep + SYSTEM_PATH,
      "PYTHONPATH": str(ROOT),
      "SLURM_CONF": str(folder / "slurm.conf"),
      "XDG_CACHE_HOME": str(folder / "cache"),
      "JAX_PLATFORMS": "cpu",
      # By default JAX listens on all interfaces.
      "JAX_COORDINATOR_PORT": str(port),
      "JAX_COORDINATOR_BIND_ADDRESS": f"127.0.0.1:{port}",
    }
    conf = CONF.format(folder=folder, ports=ports)
    (folder / "slurm.conf").write_text(conf)

  def __call__(self, *command, cwd=ROOT) -> str:
    """Returns what a command prints; raises AssertionError if it fails."""
    done = subprocess.run(
      [str(word) for word in command],
      env=self.environment,
      cwd=cwd,
      capture_output=True,
      text=True,
      timeout=60,
    )
    if done.returncode:
      raise AssertionError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout.strip()

  def submit(self, *arguments) -> str:
    """Runs sbatch in the root of the repository; returns the job's number."""
    output = f"--output={self.folder}/%A.%a.out"
    return self("sbatch", "--parsable", output, *arguments)

  def show(self, job: str) -> dict[str, str]:
    """Fields of a job: JobState, Restarts, ExitCode and others."""
    words = self("scontrol", "show", "job", job, "--oneliner").split()
    return dict(word.partition("=")[::2] for word in words)

  def wait(self, job: str, *states: str, seconds: float = 240) -> None:
    def arrived() -> bool:
      return self.show(job)["JobState"] in states

    wait_for(arrived, seconds, f"job {job} {'/'.join(states)}")

  def log(self, job: str) -> str:
    """Output of the job, over all its starts."""
    return "".join(
      path.read_text() for path in sorted(self.folder.glob(f"{job}.*.out"))
    )


@contextlib.contextmanager
def running(folder: pathlib.Path) -> Iterator[Cluster]:
  """Starts munged, slurmctld and slurmd; ends them by pid on exit.

  Args:
    folder: An empty folder with a short path; it holds a socket.
  """
  munge = folder / "munge"
  for name in ("munge", "state", "spool", "cache"):
    (folder / name).mkdir()
  for path in (folder, munge):
    path.chmod(0o755)  # munged refuses folders that others can write to
  key = munge / "key"
  key.touch(0o400)
  key.write_bytes(os.urandom(128))
  cluster = Cluster(folder, free_ports(2))
  files = {"key-file": key} | {
    f"{name}-file": munge / name for name in ("pid", "seed", "log")
  }
  options = [f"--{option}={path}" for option, path in files.items()]
  try:
    cluster("munged", f"--socket={munge / 'socket'}", *options)
    cluster("slurmctld", "-i")
    cluster("slurmd", "-N", "localhost")
    wait_for(
      lambda: cluster("sinfo", "--noheader", "--format=%T") == "idle",
      30,
      "the node is idle",
    )
    yield cluster
    cluster("scancel", "--user=root")
    wait_for(lambda: not cluster("squeue", "--noheader"), 60, "the queue empty")
  finally:
    for name in ("slurmd.pid", "slurmctld.pid", "munge/pid"):
      with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        end(int((folder / name).read_text()))


def end(pid: int) -> None:
  """Sends SIGTERM to one of our daemons, then SIGKILL after 20 s."""

  def is_gone() -> bool:
    try:
      return pathlib.Path(f"/proc/{pid}/stat").read_text().split()[2] == "Z"
    except FileNotFoundError:
      return True

  os.kill(pid, signal.SIGTERM)
  try:
    wait_for(is_gone, 20, f"process {pid} ends")
  except TimeoutError:
    os.kill(pid, signal.SIGKILL)
