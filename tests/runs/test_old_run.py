"""A run's folder that seqsum 0.1.0 wrote is refused, and not changed."""

import pathlib
import tarfile

import pytest

from configs import sum_tiny
from seqsum import train
from seqsum.inference import exported, trained
from seqsum.runs import results
from seqsum.runs.session import open_trained
from seqsum.runtime.errors import InputError
from seqsum.runtime.signals import StopRequest
from seqsum.studies import plan

ARCHIVE = pathlib.Path(__file__).parent / "run_of_0.1.0.tar.gz"
# A run of 0.1.0 with a metrics.jsonl and checkpoints/20.
REFUSED = (
  r"{}: written by seqsum 0\.1\.0, which this version \(\d+\.\d+\.\d+\) cannot "
  r"resume or load; train again in another folder, or use that version"
)


def old_run(folder):
  with tarfile.open(ARCHIVE) as archive:
    archive.extractall(folder, filter="data")
  (folder / "old_run").rename(folder / "0")
  return folder / "0"


def content(folder):
  return {
    path.relative_to(folder): path.read_bytes() if path.is_file() else None
    for path in folder.rglob("*")
  }


def lay_out_study(workdir):
  study = plan.Study(
    question="?", base=sum_tiny.get_config(), variants={"a": {}}
  )
  plan.lay_out(study, workdir.parent.parent.parent, seeds=1)


@pytest.mark.parametrize(
  "use",
  [
    lambda workdir: train.train_and_evaluate(
      sum_tiny.get_config(), workdir, StopRequest()
    ),
    lambda workdir: results.test_again(sum_tiny.get_config(), workdir),
    trained.load,
    exported.pack_weights,
    open_trained,
    lay_out_study,
  ],
  ids=["main", "eval_only", "predict", "export", "importance", "study"],
)
def test_a_run_of_0_1_0_is_refused_in_one_line(use, tmp_path):
  parent = tmp_path / "runs" / "a"  # where a study has its first run
  workdir = old_run(parent)
  before = content(workdir)
  with pytest.raises(InputError, match=REFUSED.format(workdir)) as caught:
    use(workdir)
  assert "\n" not in str(caught.value)
  assert content(workdir) == before


@pytest.mark.slow
def test_a_command_prints_the_refusal(run, tmp_path):
  workdir = old_run(tmp_path)
  done = run("--config=configs/sum_tiny.py", f"--workdir={workdir}")
  assert done.returncode == 1
  (line,) = done.stderr.strip().splitlines()
  assert "written by seqsum 0.1.0" in line
