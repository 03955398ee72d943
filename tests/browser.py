"""Headless Chromium, and digits drawn in it with the mouse or by touch."""

import contextlib
import shutil

import numpy as np
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")
ARGUMENTS = (
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--allow-file-access-from-files",
)
# Digit -> strokes, points in 0..1 of the pad.
DIGITS = {
  1: [[(0.5, 0.2), (0.5, 0.8)]],
  2: [
    [
      (0.3, 0.32),
      (0.38, 0.22),
      (0.52, 0.19),
      (0.64, 0.25),
      (0.66, 0.38),
      (0.56, 0.54),
      (0.3, 0.8),
      (0.7, 0.78),
    ]
  ],
  4: [[(0.42, 0.18), (0.28, 0.56), (0.72, 0.54)], [(0.62, 0.3), (0.6, 0.84)]],
  7: [[(0.28, 0.24), (0.7, 0.22), (0.46, 0.82)]],
}


@contextlib.contextmanager
def chromium(width=1100, height=800, phone=False):
  """A context that starts a browser and returns its driver."""
  if not CHROMIUM or not DRIVER:
    pytest.skip("needs Chromium: apt-get install chromium chromium-driver")
  webdriver = pytest.importorskip("selenium.webdriver")
  options = webdriver.ChromeOptions()
  options.binary_location = CHROMIUM
  for argument in (*ARGUMENTS, f"--window-size={width},{height}"):
    options.add_argument(argument)
  options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
  if phone:
    metrics = {"width": width, "height": height, "pixelRatio": 2, "touch": True}
    options.add_experimental_option(
      "mobileEmulation", {"deviceMetrics": metrics}
    )
  service = webdriver.ChromeService(executable_path=DRIVER)
  driver = webdriver.Chrome(options=options, service=service)
  try:
    yield driver
  finally:
    driver.quit()


def draw(driver, digit, kind="mouse"):
  """Draw the strokes of a digit on the pad."""
  from selenium.webdriver import ActionChains
  from selenium.webdriver.common.actions.pointer_input import PointerInput

  pad = driver.find_element("id", "pad")
  driver.execute_script("arguments[0].scrollIntoView()", pad)
  width, height = pad.size["width"], pad.size["height"]
  for stroke in DIGITS[digit]:
    pointer = PointerInput(kind, kind)
    actions = ActionChains(driver, 20, devices=[pointer])
    action = actions.w3c_actions.pointer_action
    places = [
      (round((x - 0.5) * width), round((y - 0.5) * height)) for x, y in stroke
    ]
    action.move_to(pad, *places[0]).pointer_down()
    for place in places[1:]:
      action.move_to(pad, *place)
    action.pointer_up()
    actions.perform()


def wait_for(driver, count):
  """Wait until `count` digits have been read."""
  from selenium.webdriver.support.ui import WebDriverWait

  WebDriverWait(driver, 60).until(
    lambda d: len(d.find_elements("css selector", "#frames li")) == count
  )


def add(driver, digit, kind="mouse"):
  draw(driver, digit, kind)
  count = len(driver.find_elements("css selector", "#frames li"))
  driver.find_element("id", "add").click()
  wait_for(driver, count + 1)


def frames(driver):
  """[T, 28, 28, 1] uint8, the frames that the page sends to the network."""
  shown = driver.execute_script(
    "return [...document.querySelectorAll('#frames canvas')].map(c => "
    "Array.from(c.getContext('2d').getImageData(0, 0, 28, 28).data)"
    ".filter((_, i) => i % 4 === 0))"
  )
  return np.array(shown, np.uint8).reshape(-1, 28, 28, 1)


def said(driver):
  """Texts of the values under the digits."""
  return [x.text for x in driver.find_elements("css selector", "#frames b")]


def complaints(driver):
  """Errors in the browser's console."""
  return [
    line["message"]
    for line in driver.get_log("browser")
    if line["level"] == "SEVERE"
  ]
