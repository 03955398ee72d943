""".github/workflows/ci.yml is a valid workflow and runs the steps of .ci/run.

Validated offline, with the schema of GitHub workflows in check-jsonschema.
"""

import re
import subprocess
import sys
import tomllib

import pytest
import yaml
from short_runs import ROOT, first
from test_launch import lint

PATH = ROOT / ".github" / "workflows" / "ci.yml"
# The values that the file uses in `${{ }}`; GitHub provides them there.
CONTEXTS = {"github.workflow", "github.ref", "matrix.python", "matrix.newest"}


@pytest.fixture(scope="module")
def job():
  # BaseLoader: `on` is a string, not a boolean.
  workflow = yaml.load(PATH.read_text(), yaml.BaseLoader)
  (job,) = workflow["jobs"].values()
  return job


def validate(path):
  return subprocess.run(
    [
      *(sys.executable, "-m", "check_jsonschema"),
      *("--builtin-schema", "vendor.github-workflows", path),
    ],
    capture_output=True,
    text=True,
  )


def test_workflow_is_valid():
  done = validate(PATH)
  assert not done.returncode, done.stdout + done.stderr


@pytest.mark.parametrize(
  ("old", "new"),
  first(
    [
      ("    runs-on: ubuntu-24.04\n", ""),
      ("timeout-minutes: 120", "timeout-minutes: long"),
      ("    strategy:", "    strategies:"),
      ("  pull_request:", "  pull_requests:"),
    ]
  ),
)
def test_invalid_workflow_is_refused(tmp_path, old, new):
  text = PATH.read_text()
  assert text.count(old) == 1
  (tmp_path / "ci.yml").write_text(text.replace(old, new))
  done = validate(tmp_path / "ci.yml")
  assert done.returncode == 1
  assert "Schema validation errors were encountered" in done.stdout


def test_workflow_runs_all_steps_in_order(job):
  (steps,) = re.findall(
    r"^steps=\((.*)\)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE
  )
  named = [
    (step["name"], step["run"])
    for step in job["steps"]
    if step.get("run", "").startswith("bash .ci/run")
  ]
  assert named == [(name, f"bash .ci/run {name}") for name in steps.split()]


def test_workflow_runs_every_python_with_pinned_and_newest_releases(job):
  matrix = job["strategy"]["matrix"]
  assert matrix == {"python": ["3.11", "3.12", "3.13"], "newest": ["0", "1"]}
  assert job["env"]["SEQSUM_CI_NEWEST"] == "${{ matrix.newest }}"
  project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
  assert project["requires-python"] == f">={matrix['python'][0]}"


def test_workflow_uses_known_expressions():
  found = re.findall(r"\$\{\{(.*?)\}\}", PATH.read_text())
  assert found
  for expression in found:
    assert set(re.findall(r"[a-z]+\.[a-z]+", expression)) <= CONTEXTS | {
      "constraints.txt"
    }


def test_scripts_of_the_workflow_pass_shellcheck(job, tmp_path):
  for n, step in enumerate(job["steps"]):
    if "run" in step:
      path = tmp_path / f"{n}.sh"
      path.write_text("#!/usr/bin/env bash\n" + step["run"])
      lint("shellcheck", path)
