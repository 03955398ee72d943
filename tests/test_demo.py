"""`seqsum.demo`: the page in a browser, and its server."""

import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from browser import add, chromium, complaints, draw, frames, said, wait_for
from short_runs import ROOT, first

import seqsum

EMPTY = "\N{EN DASH}"  # before the first prediction
pytest.importorskip("fastapi", reason="pip install -e '.[demo]'")
wait = pytest.importorskip("selenium.webdriver.support.ui").WebDriverWait


@pytest.fixture(scope="module")
def server(finished, environment):
  """(address, process) of a server."""
  workdir, _ = finished
  process = subprocess.Popen(
    [
      sys.executable,
      "-m",
      "seqsum.demo",
      f"--workdir={workdir}",
      "--port=0",
    ],
    cwd=ROOT,
    env=environment,
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  line = process.stdout.readline()
  found = re.search(r"http://127\.0\.0\.1:\d+", line)
  assert found, (line, process.communicate(timeout=10))
  yield found[0], process
  process.send_signal(signal.SIGINT)
  _, errors = process.communicate(timeout=30)
  assert process.returncode in (0, 130), errors
  assert "Traceback" not in errors


@pytest.fixture(scope="module")
def model(finished):
  return seqsum.load(finished[0])


def as_text(values):
  """Formats numbers like the page."""
  return [f"{x:.0f}" if x == np.rint(x) else f"{x:.2f}" for x in values]


@pytest.mark.slow
def test_draw_add_undo_and_clear(server, model):
  with chromium() as driver:
    driver.get(server[0])
    assert not driver.find_element("id", "add").is_enabled()
    for digit in (7, 4, 2):
      add(driver, digit)
    seen = frames(driver)
    assert seen.shape == (3, 28, 28, 1)
    rows, columns = np.nonzero(seen[0, ..., 0] > 60)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 in (19, 20, 21)
    expected = model.predict(seen)
    shown = [float(x) for x in said(driver)]
    np.testing.assert_allclose(shown, expected, atol=0.0051)
    answer = driver.find_element("id", "answer").text
    assert answer == f"{np.rint(expected[-1]):.0f}"

    driver.find_element("id", "undo").click()
    wait_for(driver, 2)
    assert said(driver) == as_text(model.predict(seen[:2]))
    draw(driver, 4)  # two strokes, undone one by one
    for _ in range(2):
      assert driver.find_element("id", "add").is_enabled()
      driver.find_element("id", "undo").click()
    assert not driver.find_element("id", "add").is_enabled()
    assert len(said(driver)) == 2
    driver.find_element("id", "clear").click()
    wait_for(driver, 0)
    assert driver.find_element("id", "answer").text == EMPTY
    assert not complaints(driver)


@pytest.mark.slow
def test_touch_and_keys_on_a_phone(server):
  from selenium.webdriver import ActionChains, Keys

  with chromium(360, 740, phone=True) as driver:
    driver.get(server[0])
    add(driver, 7, "touch")
    add(driver, 4, "touch")
    width = driver.execute_script("return document.body.scrollWidth")
    assert width <= 360
    for name in ("add", "undo", "clear"):
      box = driver.find_element("id", name).rect
      assert box["height"] >= 44
      assert box["x"] + box["width"] <= 360
    draw(driver, 2, "touch")
    keys = lambda key: ActionChains(driver).send_keys(key).perform()
    keys(Keys.ENTER)
    wait_for(driver, 3)
    keys(Keys.BACKSPACE)
    wait_for(driver, 2)
    keys(Keys.ESCAPE)
    wait_for(driver, 0)
    assert not complaints(driver)


def test_server_predicts_frames_and_refuses_invalid_requests(server, model):
  import requests

  rng = np.random.default_rng(0)
  drawn = rng.integers(0, 256, (3, 784))
  answer = requests.post(
    f"{server[0]}/predict", json={"frames": drawn.tolist()}, timeout=60
  )
  expected = model.predict(drawn.reshape(3, 28, 28, 1).astype(np.uint8))
  np.testing.assert_allclose(answer.json()["predictions"], expected, 1e-6)
  assert answer.json()["probabilities"] is None
  for wrong in (
    [],
    [[0] * 783],
    [[256] * 784],
    [["a"] * 784],
    "x",
    [[0.5]],
    [[True] * 784],
  ):
    answer = requests.post(
      f"{server[0]}/predict", json={"frames": wrong}, timeout=60
    )
    assert answer.status_code == 422
  # DNS rebinding: another site's name that resolves to this machine.
  answer = requests.get(server[0], headers={"host": "example.com"}, timeout=60)
  assert answer.status_code == 400
  icon = requests.get(f"{server[0]}/favicon.ico", timeout=60)
  assert icon.status_code == 204


ONE = b"[" + b",".join([b"0"] * 783)  # a frame but for its last pixel


@pytest.mark.parametrize(
  "body",
  [
    b'{"frames": [' + ONE + b",NaN]]}",
    b'{"frames": [' + ONE + b",1e999]]}",
    b'{"frames": [' + ONE + b",-Infinity]]}",
    b'{"frames": [' + ONE + b",1" + b"0" * 5000 + b"]]}",
    b'{"frames": "\\ud800"}',
    b'{"\\ud800": 1}',
    b'{"frames": ' + b"[" * 100_000,
    b"\xff\xfe",
    b"",
    b"null",
  ],
)
def test_json_without_frames_gets_422(server, body):
  import requests

  answer = requests.post(f"{server[0]}/predict", data=body, timeout=60)
  assert answer.status_code == 422
  assert answer.json()["detail"].startswith('expected {"frames": [...]}')


@pytest.mark.parametrize("chunked", [False, True])
def test_a_large_body_gets_413_and_is_not_kept_in_memory(server, chunked):
  import psutil
  import requests

  address, process = server
  memory = psutil.Process(process.pid).memory_info
  peak, part = memory().rss, b"[" + b"0," * (1 << 19)

  def parts():
    nonlocal peak
    for _ in range(60):
      yield part
      peak = max(peak, memory().rss)

  before = peak
  data = parts() if chunked else part * 60
  answer = requests.post(f"{address}/predict", data=data, timeout=60)
  assert answer.status_code == 413
  peak = max(peak, memory().rss)
  assert peak - before < 20e6


@pytest.mark.slow
def test_digits_drawn_during_a_request_are_kept(server, model):
  with chromium() as driver:
    driver.get(server[0])
    driver.execute_script(
      "const real = fetch; window.fetch = async (...all) => { window.asked = "
      "(window.asked || 0) + 1; await new Promise(done => { window.go = done; "
      "}); return real(...all); };"
    )
    go = lambda: driver.execute_script("window.go()")
    click = lambda name: driver.find_element("id", name).click()
    draw(driver, 7)
    click("add")
    draw(driver, 1)
    click("add")  # waits for the first request
    draw(driver, 2)  # not yet added
    assert driver.execute_script("return window.asked") == 1
    go()
    wait_for(driver, 1)
    wait(driver, 60).until(
      lambda d: d.execute_script("return window.asked") == 2
    )
    go()
    wait_for(driver, 2)
    click("add")
    go()
    wait_for(driver, 3)
    seen = frames(driver)
    assert said(driver) == as_text(model.predict(seen))
    assert len({int(x.sum()) for x in seen}) == 3  # three digits
    assert not driver.find_element("id", "add").is_enabled()
    assert not complaints(driver)


@pytest.mark.slow
def test_digits_are_kept_after_a_failed_request(server):
  with chromium() as driver:
    driver.get(server[0])
    driver.execute_script(
      "window.real = fetch; window.fetch = () => new Promise((_, fail) => "
      "{ window.fail = () => fail(new Error('no server')); });"
    )
    click = lambda name: driver.find_element("id", name).click()
    note = lambda: driver.find_element("id", "note").text
    fail = lambda: driver.execute_script("window.fail()")
    draw(driver, 7)
    click("add")
    fail()
    wait(driver, 60).until(lambda d: "Not added" in note())
    assert driver.find_element("id", "add").is_enabled()
    click("add")  # the same digit is on the pad again
    draw(driver, 1)
    fail()
    wait(driver, 60).until(lambda d: "1 waiting" in note())
    driver.execute_script("window.fetch = window.real")
    click("add")
    wait_for(driver, 2)
    assert note().startswith("predicted")
    assert frames(driver)[1].sum() < frames(driver)[0].sum()  # a 1, after the 7


def test_a_runs_name_is_escaped_in_the_page():
  import dataclasses

  from seqsum.inference import page

  @dataclasses.dataclass
  class Named:
    name: str = "</script><script>alert(1)</script>"
    step: int = 1
    task: str = "sum"
    max_len: int = 4
    values: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros(0))

  assert "<script>alert" not in page.render(Named())


@pytest.mark.parametrize(
  ("flags", "words"),
  first(
    [
      (("--workdir=none",), "no run is there"),
      (("--workdir={run}", "--port=70000"), "must be in 0..65535"),
      (("--workdir={run}", "--port={taken}"), "in use; use another"),
    ],
  ),
)
def test_user_errors_print_one_line(server, finished, run, flags, words):
  taken = server[0].rsplit(":", 1)[1]
  flags = [x.format(run=finished[0], taken=taken) for x in flags]
  done = run(*flags, program="seqsum.demo")
  assert done.returncode == 1
  (line,) = done.stderr.strip().splitlines()
  assert re.search(words, line), line
