"""The loop: reads top to bottom what a run does."""

import contextlib
import signal
import time
from collections.abc import Callable
from typing import Any

import jax
from etils import epath
from ml_collections import ConfigDict

from seqsum import allocator, cluster, evaluate, folder, results, trackers
from seqsum.errors import Diverged
from seqsum.metrics import NEVER, Totals
from seqsum.parallel import compile_step
from seqsum.progress import Progress
from seqsum.recipe import TEST, VALIDATION
from seqsum.session import Session, open_session, restore_best
from seqsum.step import is_finite, train_steps
from seqsum.stopping import StopRequest
from seqsum.writer import MetricsWriter, best_step, is_validated, read_lines


def train_and_evaluate(
  config: ConfigDict,
  workdir: epath.PathLike,
  stop: StopRequest,
  *,
  report: bool = True,
  show: Callable[[int, int, int], Progress] = Progress,
  tracker: str | None = None,
) -> dict[str, Any] | None:
  """Trains, goes on where it was, tests the best, leaves a report.

  Args:
    config: As `configs/sum.py` has it.
    workdir: The run's folder, made if it is not there.
    stop: True once somebody wants the run to end early.
    report: Whether to leave `report/`.
    show: Makes what a person sees, as `Progress` does.
    tracker: Who else is told, one of `trackers.TRACKERS`.

  Returns:
    What stands in summary.json, or None if the run was asked to stop; then the
    same call goes on where this one left off.

  Raises:
    InputError: The config, the data or the folder cannot be used.
    Diverged: The loss is not finite; the last good checkpoint is kept, and
      diverged.json says when. The same call then raises the same again.
  """
  began = time.perf_counter()
  session = open_session(config, workdir)
  if summary := folder.read_json(session.workdir / "summary.json"):
    print(f"{workdir} is finished; --eval_only tests its best checkpoint again")
    return summary
  if end := folder.read_json(session.workdir / "diverged.json"):
    raise Diverged(_farewell(end))
  with contextlib.ExitStack() as stack:
    return _run(session, stop, stack, began, report, show, tracker)


def _run(
  session: Session,
  stop: StopRequest,
  stack: contextlib.ExitStack,
  began: float,
  report: bool,
  show: Callable[[int, int, int], Progress],
  tracker: str | None,
) -> dict[str, Any] | None:
  config, recipe, schedule = session.config, session.recipe, session.schedule
  advance = compile_step(
    train_steps, session.devices, recipe=recipe, donate=True
  )
  all_finite = jax.jit(is_finite)
  validation = session.evaluator(VALIDATION)
  images, labels = session.put(session.data.train)

  checkpoints = stack.enter_context(
    session.checkpoints(best=lambda: best_step(writer.history))
  )
  totals = session.put(Totals.zero())
  if (step := checkpoints.latest_step) is None:
    step, state = 0, session.init(config.seed)
  else:
    state, totals = checkpoints.restore(step, session.like())
  writer = stack.enter_context(
    MetricsWriter(session.workdir, step, trackers.build(tracker, session))
  )
  carried = writer.history[-1]["seconds"] if writer.history else 0.0
  progress = stack.enter_context(show(schedule.total, step, schedule.epochs))
  if step:
    progress.say(f"goes on from step {step:,} of {schedule.total:,}")

  def write(split: str, metrics: dict[str, Any], rate: float) -> None:
    writer.write(
      {
        "step": step,
        "epoch": schedule.epoch(step),
        "split": split,
        **metrics,
        "sequences_per_second": rate,
        "seconds": carried + time.perf_counter() - began,
      }
    )

  def check_finite() -> None:
    if config.on_nonfinite == "continue":
      return
    first = int(totals.nonfinite)
    if first != NEVER or not all_finite(state.params):
      end = {
        "step": min(first, step + 1),
        "checkpoint": checkpoints.latest_step or 0,
        "parameters": results.count_parameters(state.params),
        "dataset": session.data.name,
        "wall_seconds": carried + time.perf_counter() - began,
      }
      if cluster.is_lead():
        folder.write_json(session.workdir / "diverged.json", end)
      raise Diverged(_farewell(end))

  def draw(params, evaluator, reading, summary) -> None:
    if not report:
      return
    allocator.give_back()
    initial = session.init(config.seed).params
    if cluster.is_lead():
      pngs = results.draw(session, initial, params, evaluator, reading, summary)
      writer.pictures(pngs, step)

  # Compiled ahead, so that the compiler's memory is free when the first step
  # asks for its own.
  arguments = config.seed, images, labels
  several = schedule.steps_per_call > 1
  advance.lower(state, totals, *arguments, 1 if several else None).compile()
  allocator.give_back()

  mark = time.perf_counter(), step  # where the rate is measured from
  while True:
    if schedule.is_epoch_end(step) and not is_validated(writer.history, step):
      start = time.perf_counter()
      if (reading := validation(state.params, stop)) is not None:
        rate = len(reading.lengths) / (time.perf_counter() - start)
        write("validation", evaluate.measure(reading, recipe.per_step), rate)
        progress.validation(writer.history[-1])
        allocator.give_back()
      mark = time.perf_counter(), step
    if stop or step == schedule.total:
      break
    count = min(schedule.next_event(step) - step, schedule.steps_per_call)
    before = totals
    state, totals = advance(
      state, totals, *arguments, count if several else None
    )
    jax.block_until_ready(before)  # the device is one call ahead, not more
    step += count
    progress.advance(count)
    if schedule.is_log(step):
      check_finite()
      seen = (step - mark[1]) * config.batch_size
      rate = seen / (time.perf_counter() - mark[0])
      write("train", jax.device_get(totals).means(), rate)
      progress.training(writer.history[-1])
      totals = session.put(Totals.zero())
      allocator.give_back()
      mark = time.perf_counter(), step
    if schedule.is_checkpoint(step):
      check_finite()
      checkpoints.save(step, (state, totals))

  check_finite()
  checkpoints.save(step, (state, totals))
  if stop:
    if stop.signal == signal.SIGINT:  # a scheduler leaves no time for pictures
      draw(state.params, validation, validation(state.params), {})
    return None

  best, state = restore_best(session, checkpoints, writer.history)
  test = session.evaluator(TEST)
  start = time.perf_counter()
  reading = test(state.params)
  rate = len(reading.lengths) / (time.perf_counter() - start)
  metrics = evaluate.measure(reading, recipe.per_step)
  write("test", metrics | evaluate.break_down(reading), rate)
  summary = results.summarize(
    session, best, state.params, reading, writer.history
  )
  draw(state.params, test, reading, summary)
  if cluster.is_lead():
    folder.write_json(session.workdir / "summary.json", summary)
  writer.model(session.workdir / "checkpoints" / str(best), summary)
  return summary


def _farewell(end: dict[str, Any]) -> str:
  """What diverged.json says, for a person."""
  return (
    f"the loss is inf or nan at step {end['step']:,}; the last good checkpoint "
    f"is that of step {end['checkpoint']:,}: try a lower "
    "config.optimizer.learning_rate"
  )


def test_again(config: ConfigDict, workdir: epath.PathLike) -> dict[str, Any]:
  """Reads the test sequences with a run's best checkpoint; writes nothing.

  Returns:
    The metrics, with the step of the checkpoint.
  """
  session = open_session(config, workdir)
  with session.checkpoints() as checkpoints:
    history = read_lines(session.workdir / "metrics.jsonl")
    best, state = restore_best(session, checkpoints, history)
  reading = session.evaluator(TEST)(state.params)
  metrics = evaluate.measure(reading, session.recipe.per_step)
  return {"step": best, **metrics, **evaluate.break_down(reading)}
