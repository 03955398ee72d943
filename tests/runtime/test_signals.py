import os
import re
import signal
import subprocess
import sys
import time

import pytest
from short_runs import ROOT

from seqsum.runtime.signals import StopRequest


@pytest.mark.parametrize(
  "number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP]
)
def test_a_signal_requests_a_stop(number):
  before = signal.getsignal(number)
  own = signal.default_int_handler  # the tests' own may ignore it, under nohup
  signal.signal(number, own)
  try:
    with StopRequest() as stop:
      assert not stop.agreed()
      os.kill(os.getpid(), number)
      assert stop.agreed()
      assert stop.signal == number
    assert signal.getsignal(number) is own
  finally:
    signal.signal(number, before)


def test_a_second_ctrl_c_interrupts_at_once():
  with StopRequest():
    os.kill(os.getpid(), signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
      os.kill(os.getpid(), signal.SIGINT)


def test_an_ignored_hang_up_stays_ignored():
  """As under nohup."""
  before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
  try:
    with StopRequest() as stop:
      os.kill(os.getpid(), signal.SIGHUP)
      assert not stop.agreed()
    assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
  finally:
    signal.signal(signal.SIGHUP, before)


def test_commands_import_only_the_standard_library_before_they_handle_ctrl_c():
  """An import of more than the standard library would take long."""
  code = "from seqsum.runtime import malloc, signals, streams; import sys"
  code += "; print(*sys.modules)"
  modules = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT)
  roots = {name.partition(".")[0] for name in modules.decode().split()}
  assert not roots & {"absl", "asyncio", "etils", "jax", "numpy", "unittest"}
  for command in ("main", "study"):
    text = (ROOT / f"seqsum/{command}.py").read_text()
    before, _, _ = text.partition("signals.end_on_interrupt()")
    imports = re.findall(r"^(?:from|import) .*", before, re.MULTILINE)
    assert imports == ["from seqsum.runtime import malloc, signals, streams"]


@pytest.mark.slow
@pytest.mark.parametrize("wait", [0.0, 0.2, 0.4, 0.8, 1.2, 1.6, 2.0])
def test_ctrl_c_during_imports_ends_the_process_quietly(tmp_path, wait):
  """Imports lost it before, or printed a traceback."""
  run = subprocess.Popen(
    # Prints each module to stderr once it is imported.
    [sys.executable, "-X", "importtime", "-m", "seqsum.main"]
    + ["--config=configs/sum_tiny.py", f"--workdir={tmp_path / 'run'}"],
    cwd=ROOT,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
  )
  for line in run.stderr:
    if line.split()[-1:] == ["absl"]:  # imported after the handler is set
      break
  time.sleep(wait)
  run.send_signal(signal.SIGINT)
  _, stderr = run.communicate(timeout=60)
  assert run.returncode in (-signal.SIGINT, 128 + signal.SIGINT)
  assert "Traceback" not in stderr
  assert "Exception ignored" not in stderr
