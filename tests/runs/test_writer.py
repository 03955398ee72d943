import math

from etils import epath
from short_runs import line

from seqsum.runs.history import read_lines
from seqsum.runs.writer import MetricsWriter


def test_metrics_continue_from_a_step(tmp_path):
  path = epath.Path(tmp_path)
  with MetricsWriter(path) as writer:
    for step in (1, 2, 3):
      writer.write(line(step))
    writer.write(line(2, "test"))
  with (path / "metrics.jsonl").open("a") as f:
    f.write('{"step": 2, "torn')
  with MetricsWriter(path, step=2) as writer:
    assert [x["step"] for x in writer.history] == [1, 2]
    writer.write(line(3, mse=math.nan))
  lines = read_lines(path / "metrics.jsonl")
  assert [(x["step"], x["mse"]) for x in lines] == [(1, 1), (2, 1), (3, None)]
  assert any((path / "tensorboard").iterdir())


def test_object_storage_gets_the_complete_file_at_each_write(
  monkeypatch, tmp_path
):
  monkeypatch.setattr("seqsum.runs.writer.is_remote", lambda path: True)
  path = epath.Path(tmp_path)
  with MetricsWriter(path) as writer:
    writer.write(line(1))
    writer.write(line(2))
  assert read_lines(path / "metrics.jsonl") == [line(1), line(2)]
  with MetricsWriter(path, step=1) as writer:
    writer.write(line(3))
  assert read_lines(path / "metrics.jsonl") == [line(1), line(3)]
