"""Pytest plugin that runs each test once over several sessions.

If $SEQSUM_TESTS_PASSED names a file, tests listed in it are not run, and tests
that pass are appended to it. A test that fails, is skipped or is interrupted is
not appended, so a later session runs it.
"""

import os
import pathlib

VARIABLE = "SEQSUM_TESTS_PASSED"


class PassedTests:
  """The pytest plugin.

  Args:
    path: A text file with one node id a line; created if missing.
  """

  def __init__(self, path: str):
    self._path = pathlib.Path(path)
    self._outcomes = {}  # node id -> whether all its phases passed so far

  def pytest_collection_modifyitems(self, config, items):
    known = set()
    if self._path.exists():
      known = set(self._path.read_text().splitlines())
    passed = [item for item in items if item.nodeid in known]
    items[:] = [item for item in items if item.nodeid not in known]
    config.hook.pytest_deselected(items=passed)

  def pytest_runtest_logreport(self, report):
    so_far = self._outcomes.get(report.nodeid, True)
    self._outcomes[report.nodeid] = so_far and report.outcome == "passed"

  def pytest_sessionfinish(self):
    if "PYTEST_XDIST_WORKER" in os.environ:
      return  # the controller receives all reports
    passed = [name for name, good in self._outcomes.items() if good]
    with self._path.open("a") as file:
      file.writelines(f"{name}\n" for name in passed)


def pytest_configure(config):
  if os.environ.get(VARIABLE):
    config.pluginmanager.register(PassedTests(os.environ[VARIABLE]))
