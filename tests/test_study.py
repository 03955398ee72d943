"""Studies: their runs, measurements, results and commands."""

import functools
import json
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
import time

import jax
import pytest
from etils import epath
from short_runs import ROOT, first

from configs import sum as post
from configs import sum_small
from seqsum.runtime import devices
from seqsum.runtime.errors import InputError
from seqsum.studies import plan, probes
from seqsum.studies.run import run_study

TEXT = """
from configs import sum_tiny as base
from seqsum.studies import probes
from seqsum.studies.plan import Study


def get_config():
  config = base.get_config()
  config.epochs = 2
  config.sequences_per_epoch = 80
  config.batch_size = 8
  config.eval_sequences = 32
  config.eval_batch_size = 32
  return config


def get_study():
  return Study(
    question="Is slower better?",
    base=get_config(),
    variants={
      "slow": {"optimizer.learning_rate": 1e-4},
      "wild": {"optimizer.name": "sgd", "optimizer.learning_rate": 1e30},
    },
    seeds=2,
    figures=("learning", "final", "lengths"),
    measure=lambda *a: probes.by_length(*a, lengths=(1, 6), sequences=20),
    timed=True,
  )
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory):
  path = tmp_path_factory.mktemp("study") / "slow.py"
  path.write_text(TEXT)
  return path


@pytest.fixture(scope="module")
def done(file, run):
  workdir = file.parent / "out"
  flags = f"--study={file}", f"--workdir={workdir}"
  answer = run(*flags, program="seqsum.study")
  assert answer.returncode == 0, answer.stderr
  return workdir, flags, answer


def results(workdir):
  text = (workdir / "results.jsonl").read_text()
  return [json.loads(line) for line in text.splitlines()]


@pytest.mark.slow
def test_study_writes_results_a_table_and_figures(done):
  workdir, _, answer = done
  lines = results(workdir)
  names = [(x["variant"], x["seed"]) for x in lines]
  assert names == [("slow", 0), ("wild", 0), ("slow", 1), ("wild", 1)]
  for line in lines:
    if line["variant"] == "wild":
      assert line["status"] == "diverged"
      assert 1 <= line["diverged_step"] <= 20
      assert line["test"] is line["measured"] is None
    else:
      assert line["status"] == "finished"
      assert line["test"]["mse"] > 0
      assert [x["length"] for x in line["measured"]] == [1, 6]
      assert [x for x, _ in line["curve"]] == [80, 160]
  table = (workdir / "table.md").read_text()
  assert "| slow |" in table
  assert "2 of 2" in table.partition("| wild |")[2]
  assert "4 of 4, wild/1: diverged at step" in answer.stdout
  rates = json.loads((workdir / "rates.json").read_text())
  assert rates.keys() == {"slow"}
  assert lines[0]["sequences_per_second"] == rates["slow"] > 0
  for name in ("learning", "final", "lengths"):
    assert (workdir / f"{name}.png").read_bytes().startswith(b"\x89PNG")
  assert not (workdir / "runs" / "slow" / "0" / "report").exists()


@pytest.mark.slow
def test_finished_study_trains_nothing(done, run):
  workdir, flags, _ = done
  before = results(workdir)
  begin = time.time()
  again = run(*flags, program="seqsum.study")
  assert again.returncode == 0
  assert results(workdir) == before
  for path in (workdir / "runs").rglob("metrics.jsonl"):
    assert path.stat().st_mtime < begin


@pytest.mark.slow
def test_chosen_variants_are_trained_and_all_compared(file, run):
  workdir = file.parent / "chosen"
  flags = f"--study={file}", f"--workdir={workdir}", "--seeds=1"
  names = lambda: [x["variant"] for x in results(workdir)]
  answer = run(*flags, "--variants=wild", program="seqsum.study")
  assert answer.returncode == 0, answer.stderr
  assert "1 of 1, wild/0: diverged" in answer.stdout
  assert names() == ["wild"]
  assert "1 of 2 runs" in (workdir / "table.md").read_text()
  answer = run(*flags, "--variants=slow", program="seqsum.study")
  assert answer.returncode == 0, answer.stderr
  assert "wild/0" not in answer.stdout
  assert names() == ["slow", "wild"]
  # An ended run is compared though it is not chosen, and not yet measured.
  (workdir / "runs/slow/0/measured.json").unlink()
  answer = run(*flags, "--variants=wild", program="seqsum.study")
  assert answer.returncode == 0, answer.stderr
  assert names() == ["slow", "wild"]
  assert not (workdir / "rates.json").exists()


def test_commands_of_chosen_variants():
  study = plan.load(ROOT / "configs/beyond/sum2.py")
  runs = plan.lay_out(study, epath.Path("s"), seeds=2)
  chosen = plan.choose_runs(study, runs, ["quick", "fold"])
  assert [x.name for x in chosen] == ["fold/0", "quick/0", "fold/1", "quick/1"]
  assert plan.choose_runs(study, runs, []) == runs


@pytest.mark.slow
def test_another_measurement_is_made_of_finished_runs(done, file, run):
  workdir = shutil.copytree(done[0], file.parent / "copy")
  before = results(workdir)
  other = file.parent / "other_lengths.py"
  other.write_text(
    TEXT.replace("lengths=(1, 6)", "lengths=(2,)")
    .replace(
      "lambda *a: probes.by_length(*a, ", "functools.partial(probes.by_length, "
    )
    .replace("\nfrom", "\nimport functools\nfrom", 1)
  )
  flags = f"--study={other}", f"--workdir={workdir}"
  answer = run(*flags, program="seqsum.study")
  assert answer.returncode == 0, answer.stderr
  after = results(workdir)
  assert [x["length"] for x in after[0]["measured"]] == [2]
  assert [x["seconds"] for x in after] == [x["seconds"] for x in before]


@pytest.mark.parametrize(
  ("measure", "name"),
  [
    (None, None),
    (probes.by_pair, "by_pair()"),
    (
      functools.partial(probes.by_length, sequences=300, lengths=(1, 2)),
      "by_length(lengths=(1, 2), sequences=300)",
    ),
  ],
)
def test_a_measurement_is_named_with_its_arguments(measure, name):
  study = plan.Study("Which?", sum_small.get_config(), {}, measure=measure)
  assert study.measured_by == name


@pytest.mark.slow
def test_printed_command_makes_the_same_run(done, file, run, environment):
  workdir, flags, _ = done
  printed = run(*flags, "--print_commands", program="seqsum.study")
  commands = printed.stdout.splitlines()
  assert len(commands) == 4
  python, *words = shlex.split(commands[2])
  assert python == "python"
  other = file.parent / "other"
  words = [word.replace(str(workdir), str(other)) for word in words]
  subprocess.run(
    [sys.executable, *words], cwd=ROOT, env=environment, check=True
  )
  lines = [
    json.loads((root / "runs/slow/1/summary.json").read_text())["test"]["mse"]
    for root in (workdir, other)
  ]
  assert lines[0] == lines[1]


@pytest.mark.slow
def test_stopped_study_resumes(file, run, environment):
  workdir = file.parent / "stopped"
  flags = f"--study={file}", f"--workdir={workdir}", "--seeds=1"
  child = subprocess.Popen(
    [sys.executable, "-m", "seqsum.study", *flags, "--sequences=40000"],
    cwd=ROOT,
    env=environment,
    stdout=subprocess.PIPE,
    text=True,
  )
  metrics = workdir / "runs/slow/0/metrics.jsonl"
  deadline = time.time() + 120
  while not (metrics.exists() and metrics.read_text()):
    assert time.time() < deadline
    assert child.poll() is None
    time.sleep(0.1)
  child.send_signal(signal.SIGTERM)
  output, _ = child.communicate(timeout=60)
  assert child.returncode == 128 + signal.SIGTERM
  assert "run the same command to resume" in output
  again = run(*flags, "--sequences=40000", program="seqsum.study")
  assert again.returncode == 0
  assert [x["status"] for x in results(workdir)] == ["finished", "diverged"]


@pytest.mark.parametrize(
  ("flags", "message"),
  first(
    [
      ((), "--study is missing"),
      (("--study=no.py",), "--study=no.py: there is no such file"),
      (("--study=configs/sum.py",), "must define get_study()"),
      (("--study=README.md",), "must be a Python file"),
      (("--study=configs/studies/tiny.py", "--seeds=0"), "must be at least 1"),
      (("--study=configs/studies/tiny.py", "x"), "unexpected argument 'x'"),
      (
        ("--study=configs/beyond/addition.py", "--variants=15,10-deep"),
        "--variants='10-deep' is not known: did you mean '100-deep'?",
      ),
    ],
  ),
)
def test_user_errors_are_one_line(run, flags, message):
  answer = run(*flags, program="seqsum.study")
  assert answer.returncode == 1
  assert message in answer.stderr
  assert answer.stderr.count("\n") == 1


FILES = sorted(
  path
  for folder in ("studies", "beyond")
  for path in ROOT.glob(f"configs/{folder}/[a-z]*.py")
)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_study_of_the_configs_is_valid(path, tmp_path, monkeypatch):
  # On one device: sums of 1,024 digits have a batch size of two.
  one = functools.partial(devices.make_mesh, jax.devices()[:1])
  monkeypatch.setattr(devices, "make_mesh", one)
  study = plan.load(path)
  fields = {}
  if path.stem == "summarize":  # needs files
    tests = runpy.run_path(str(ROOT / "tests/data/test_video_benchmark.py"))
    data = tests["write_h5"](tmp_path / "x.h5")
    splits = tests["write_splits"](tmp_path, "json")
    fields = {"data.name": f"eccv16:{data}", "benchmark.splits": str(splits)}
  runs = plan.lay_out(study, tmp_path, fields=fields)
  assert len(runs) == len(study.variants) * study.seeds
  assert len({run.folder for run in runs}) == len(runs)


def test_fields_of_a_config_are_overrides_for_another():
  theirs = plan.fields(post.get_config(), "model", "batch_size")
  assert "seed" not in theirs
  ours = plan.override(sum_small.get_config(), theirs)
  assert ours.model == post.get_config().model
  assert ours.batch_size == 32
  assert ours.optimizer == sum_small.get_config().optimizer


@pytest.mark.parametrize(
  ("changes", "message"),
  [
    ({"model.hidden_size": (8,)}, "did you mean 'model.hidden_sizes'"),
    ({"batch_size": "many"}, "must be of type int"),
    ({"batch_size": True}, "must be of type int"),
  ],
)
def test_overrides_are_checked(changes, message):
  base = plan.load(ROOT / "configs/studies/tiny.py").base
  with pytest.raises(InputError, match=message):
    plan.override(base, changes)


def test_refused_study_writes_nothing(file, tmp_path):
  asked = plan.load(file)
  asked.base.data.name = "mnits"
  workdir = epath.Path(tmp_path / "study")
  runs = plan.lay_out(asked, workdir)
  with pytest.raises(InputError, match="did you mean 'mnist'"):
    run_study(asked, runs, runs, workdir, stop=None)
  assert list(tmp_path.iterdir()) == []
