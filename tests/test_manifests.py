"""YAML files in launch/ are valid, by schemas that are checked offline."""

import json
import os
import pathlib
import re
import subprocess
import sys

import jsonschema
import kubernetes_validate
import pytest
import yaml

LAUNCH = pathlib.Path(__file__).parent.parent / "launch"
JOBSETS = ("jobset.yaml", "jobset_tpu.yaml")


def load(name: str) -> dict:
  return yaml.safe_load((LAUNCH / "kubernetes" / name).read_text())


# The fields of jobset.x-k8s.io/v1alpha2 used here, from the API reference:
# https://jobset.sigs.k8s.io/docs/reference/jobset.v1alpha2/
NAME = {"type": "string", "pattern": "^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$"}
NAMES = {"type": "array", "items": {"type": "string"}, "uniqueItems": True}
COUNT = {"type": "integer", "minimum": 0}


def fields(required: str = "", **properties) -> dict:
  return {
    "type": "object",
    "properties": properties,
    "required": required.split(),
    "additionalProperties": False,
  }


RULE = fields(
  "name action",
  name={"pattern": "^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$"},
  action={
    "enum": ["FailJobSet", "RestartJobSet", "RestartJobSetAndIgnoreMaxRestarts"]
  },
  onJobFailureReasons=NAMES,
  targetReplicatedJobs=NAMES,
)
JOBSET = fields(
  "apiVersion kind metadata spec",
  apiVersion={"const": "jobset.x-k8s.io/v1alpha2"},
  kind={"const": "JobSet"},
  metadata=fields(
    "name", name=NAME, annotations={"additionalProperties": {"type": "string"}}
  ),
  spec=fields(
    "replicatedJobs",
    coordinator=fields(
      "replicatedJob", replicatedJob=NAME, jobIndex=COUNT, podIndex=COUNT
    ),
    failurePolicy=fields(
      maxRestarts=COUNT, rules={"type": "array", "items": RULE}
    ),
    replicatedJobs={
      "type": "array",
      "items": fields(
        "name template",
        name=NAME,
        replicas=COUNT,
        template=fields("spec", spec={}),
      ),
    },
  ),
)


@pytest.mark.parametrize("name", JOBSETS)
def test_jobset_is_valid(name):
  jobset = load(name)
  jsonschema.validate(jobset, JOBSET)
  [job] = jobset["spec"]["replicatedJobs"]
  spec = job["template"]["spec"]
  kubernetes_validate.validate(
    {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "a"}}
    | {"spec": spec},
    "1.31",
    strict=True,
  )
  assert spec["parallelism"] == spec["completions"]
  pod = spec["template"]["spec"]
  assert pod["restartPolicy"] == "Never"  # required by podFailurePolicy
  [container] = pod["containers"]
  exit_codes = spec["podFailurePolicy"]["rules"][0]["onExitCodes"]
  assert exit_codes["containerName"] == container["name"]
  assert exit_codes["values"] == [143]
  # The image's entry point is main; the arguments are its flags.
  assert "command" not in container
  assert all(arg.startswith("--") for arg in container["args"])
  variables = {x["name"]: x.get("value") for x in container.get("env", ())}
  assert set(re.findall(r"\$\((\w+)\)", " ".join(container["args"]))) == set(
    variables
  )
  assert variables.get("NUM_PROCESSES", "4") == str(spec["parallelism"])


def test_volume_is_valid():
  volume = load("volume.yaml")
  kubernetes_validate.validate(volume, "1.31", strict=True)
  claims = load("jobset.yaml")["spec"]["replicatedJobs"][0]["template"]["spec"]
  claim = claims["template"]["spec"]["volumes"][0]["persistentVolumeClaim"]
  assert claim["claimName"] == volume["metadata"]["name"]


def test_skypilot_parses_its_file(tmp_path):
  # SkyPilot takes half a gigabyte; it can be in a separate environment.
  python = os.environ.get("SEQSUM_SKY_PYTHON", sys.executable)
  there = subprocess.run([python, "-c", "import sky"], capture_output=True)
  if there.returncode:
    pytest.skip("set SEQSUM_SKY_PYTHON to a Python that has SkyPilot")
  program = (
    "import json, sys, sky\n"
    "task = sky.Task.from_yaml(sys.argv[1])\n"
    "[resources] = task.resources\n"
    "mounts = {k: v.mode.value for k, v in task.storage_mounts.items()}\n"
    "json.dump([task.num_nodes, resources.use_spot, resources.accelerators,\n"
    "  resources.job_recovery, mounts], sys.stdout)\n"
  )
  environment = os.environ | {
    "HOME": str(tmp_path),
    "SKYPILOT_DISABLE_USAGE_COLLECTION": "1",
  }
  done = subprocess.run(
    [python, "-c", program, LAUNCH / "skypilot.yaml"],
    env=environment,
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  nodes, spot, accelerators, recovery, mounts = json.loads(done.stdout)
  assert (nodes, spot, accelerators) == (1, True, {"H100": 1})
  assert recovery["recover_on_exit_codes"] == [143]
  assert mounts == {"/runs": "MOUNT_CACHED"}


def test_skypilot_runs_main(tmp_path):
  """Runs the `run` part in bash, with a python that prints its arguments."""
  task = yaml.safe_load((LAUNCH / "skypilot.yaml").read_text())
  activate = tmp_path / ".venv/bin/activate"
  activate.parent.mkdir(parents=True)
  activate.write_text("PATH=$PWD:$PATH\n")
  python = tmp_path / "python"
  python.write_text("#!/bin/sh\nprintf '%s\\n' \"$@\"\n")
  python.chmod(0o755)

  def arguments(nodes: str) -> list[str]:
    variables = {
      "ARGS": "--config=x --workdir='/runs/a b'",
      "SKYPILOT_NUM_NODES": nodes,
      "SKYPILOT_NODE_IPS": "10.0.0.1\n10.0.0.2",
      "SKYPILOT_NODE_RANK": "1",
    }
    done = subprocess.run(
      ["bash", "-c", task["run"]],
      cwd=tmp_path,
      env={"PATH": os.environ["PATH"], **variables},
      capture_output=True,
      text=True,
      check=True,
    )
    return done.stdout.splitlines()

  alone = ["-m", "seqsum.main", "--config=x", "--workdir=/runs/a b"]
  assert arguments("1") == alone
  assert arguments("2") == [
    *alone,
    "--coordinator_address=10.0.0.1:8476",
    "--num_processes=2",
    "--process_id=1",
  ]


def test_gpu_files_ask_for_one_card():
  """As measured: the post's network does not fill it."""
  jobset = load("jobset.yaml")["spec"]["replicatedJobs"][0]["template"]["spec"]
  (container,) = jobset["template"]["spec"]["containers"]
  assert container["resources"]["limits"]["nvidia.com/gpu"] == 1
  assert jobset["parallelism"] == jobset["completions"] == 1
  script = (LAUNCH / "slurm.sbatch").read_text()
  for option in ("nodes", "ntasks-per-node", "gpus-per-node"):
    assert f"\n#SBATCH --{option}=1\n" in script
