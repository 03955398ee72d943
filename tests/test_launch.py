"""Scripts in launch/: linters, arguments and errors, without a cloud."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parent.parent
LAUNCH = ROOT / "launch"
SCRIPTS = (LAUNCH / "slurm.sbatch", LAUNCH / "tpu_vm.sh", ROOT / ".ci/run")
ODD = ["--workdir=runs/a b", "--x=it's", '--y="$HOME" `id`', "--z=*;|&", ""]


def lint(tool: str, *args) -> None:
  path = shutil.which(
    tool, path=os.path.dirname(sys.executable) + os.pathsep + os.environ["PATH"]
  )
  if path is None:
    pytest.fail(f"{tool} is missing: run pip install -e '.[test]'")
  done = subprocess.run([path, *args], capture_output=True, text=True)
  assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_pass_shellcheck(script):
  lint("bash", "-n", script)
  lint("shellcheck", script)


@pytest.mark.skipif(sys.platform == "win32", reason="hadolint is not available")
def test_dockerfile_passes_hadolint():
  lint("hadolint", LAUNCH / "Dockerfile")


def test_image_runs_main():
  text = (LAUNCH / "Dockerfile").read_text()
  assert 'ENTRYPOINT ["tini", "--", "python", "-m", "seqsum.main"]' in text


def test_slurm_script_runs_main():
  assert 'python -m seqsum.main "$@"' in (LAUNCH / "slurm.sbatch").read_text()


def sbatch(*args, **environment):
  """Runs slurm.sbatch until it needs Slurm."""
  return subprocess.run(
    ["bash", LAUNCH / "slurm.sbatch", *args],
    env={"PATH": os.environ["PATH"], **environment},
    capture_output=True,
    text=True,
  )


@pytest.mark.parametrize(
  ("lines", "number", "words"),
  [
    ("python -m seqsum.main --config=x\n", "", "needs sbatch --array=1-N"),
    ("python -m seqsum.main --config=x\n", "2", "line 2: not a line"),
    ("rm -rf nothing\n", "1", "line 1: not a line"),
  ],
)
def test_invalid_command_file_is_refused(tmp_path, lines, number, words):
  path = tmp_path / "commands.txt"
  path.write_text(lines)
  done = sbatch("--commands", path, SLURM_ARRAY_TASK_ID=number)
  assert done.returncode == 2
  assert words in done.stderr
  assert done.stderr.count("\n") == 1


def test_missing_command_file_is_refused(tmp_path):
  done = sbatch("--commands", tmp_path / "none.txt", SLURM_ARRAY_TASK_ID="1")
  assert done.returncode == 2
  assert "none.txt: cannot be read" in done.stderr


def words_of(command: str) -> list[str]:
  """Splits a command line as bash does."""
  script = f"set -- {command}\nprintf '%s\\0' \"$@\""
  done = subprocess.run(
    ["bash", "-c", script], capture_output=True, text=True, check=True
  )
  return done.stdout.split("\0")[:-1]


def tpu_vm(*args, **environment):
  return subprocess.run(
    [LAUNCH / "tpu_vm.sh", *args],
    env={"PATH": os.environ["PATH"], **environment},
    capture_output=True,
    text=True,
  )


def dry_run(*args, **environment) -> list[list[str]]:
  """Commands that tpu_vm.sh prints with --dry_run, split into words."""
  names = {"TPU_NAME": "my tpu", "ZONE": "here-a"} | environment
  done = tpu_vm("--dry_run", *args, **names)
  assert done.returncode == 0, done.stderr
  return [words_of(line) for line in done.stdout.splitlines()]


GCLOUD = ["gcloud", "compute", "tpus", "tpu-vm"]


def test_tpu_vm_create_and_delete():
  [create] = dry_run(
    "create",
    ACCELERATOR_TYPE="v6e-16",
    RUNTIME_VERSION="v2-alpha-tpuv6e",
    PROJECT="mine",
    SPOT="1",
  )
  assert create == [
    *GCLOUD,
    *("create", "my tpu", "--zone=here-a", "--project=mine"),
    *("--accelerator-type=v6e-16", "--version=v2-alpha-tpuv6e", "--spot"),
  ]
  [delete] = dry_run("delete")
  assert delete == [*GCLOUD, "delete", "my tpu", "--zone=here-a", "--quiet"]


def test_tpu_vm_install_copies_committed_files():
  archive, copy, install = dry_run("install")
  assert archive[:2] == ["git", "archive"]
  file = archive[3].removeprefix("--output=")
  assert copy[4:7] == ["scp", file, "my tpu:seqsum.tar.gz"]
  assert copy[-1] == install[-2] == "--worker=all"
  assert '-c constraints.txt -e ".[tpu,gcs]"' in install[-1]
  assert not os.path.exists(os.path.dirname(file))


def test_tpu_vm_run_quotes_arguments(tmp_path):
  [[*words, command]] = dry_run("run", *ODD)
  assert words == [*GCLOUD, "ssh", "my tpu", "--zone=here-a", "--worker=all"]
  # Run the host's part, with a `python` that prints its arguments.
  folder = tmp_path / "seqsum"
  (folder / ".venv/bin").mkdir(parents=True)
  (folder / ".venv/bin/activate").write_text(
    'python() { printf \'%s\\0\' "$@"; }; nohup() { "$@"; }\n'
  )
  script = command.removeprefix("--command=") + "\nwait"
  subprocess.run(["bash", "-c", script], cwd=tmp_path, check=True)
  seen = (folder / "run.log").read_text().split("\0")[:-1]
  assert seen == ["-m", "seqsum.main", *ODD]
  assert int((folder / "run.pid").read_text()) > 1
  # A second start is refused while the first run is in progress.
  (folder / "run.pid").write_text(str(os.getpid()))
  again = subprocess.run(["bash", "-c", script], cwd=tmp_path)
  assert again.returncode == 1


def test_tpu_vm_status_stop_and_fetch():
  describe, ask = dry_run("status")
  assert describe == [
    *GCLOUD,
    *("describe", "my tpu", "--zone=here-a", "--format=value(state)"),
  ]
  assert "tail -n 3 run.log" in ask[-1]
  [stop] = dry_run("stop")
  assert stop[-1] == '--command=kill -TERM "$(cat seqsum/run.pid)"'
  make, sync = dry_run("fetch", "gs://b/a run", "my runs")
  assert make == ["mkdir", "-p", "my runs"]
  assert sync == [
    *("gcloud", "storage", "rsync", "--recursive", "gs://b/a run", "my runs"),
  ]
  [copy] = dry_run("fetch", "runs/a", "runs")
  assert copy == [
    *GCLOUD,
    *("scp", "my tpu:seqsum/runs/a", "runs"),
    *("--zone=here-a", "--worker=0", "--recurse"),
  ]


def test_tpu_vm_refuses_wrong_arguments():
  done = tpu_vm("status")
  assert (done.returncode, done.stdout) == (2, "")
  assert "set TPU_NAME" in done.stderr
  done = tpu_vm("explode", TPU_NAME="t", ZONE="z")
  assert done.returncode == 2
  assert "unknown subcommand 'explode': choose from create" in done.stderr
