"""Bar chart of training rates, with the roofline."""

import pathlib
import statistics
from typing import Any

import matplotlib

matplotlib.use("agg")
import matplotlib.pyplot as plt

from benchmarks import table

# Okabe and Ito's blue, which is distinct from grey for all viewers.
OURS, THEIRS, LIMIT = "#0072B2", "#b8b8b8", "#555555"


def draw(results: dict[str, Any], path: pathlib.Path) -> plt.Figure:
  """Draws one panel per batch size; a bar per peer, with its range."""
  threads = max(s["threads"] for s in results["settings"])
  settings = [s for s in results["settings"] if s["threads"] == threads]
  settings.sort(key=lambda setting: setting["batch"])
  rate = lambda setting, name: statistics.median(
    table.rates(setting, name, "train")
  )
  names = sorted(  # by best rate, in the same order in all panels
    {name for setting in settings for name in setting["ways"]},
    key=lambda name: (
      -max(
        rate(setting, name) for setting in settings if name in setting["ways"]
      )
    ),
  )
  fig, axes = plt.subplots(
    1,
    len(settings),
    figsize=(2.4 + 2.9 * len(settings), 1.8 + 0.27 * len(names)),
    sharex=True,
    sharey=True,
    squeeze=False,
    layout="constrained",
  )
  for ax, setting in zip(axes[0], settings, strict=True):
    for row, name in enumerate(names):
      if name not in setting["ways"]:
        continue
      ours = name == "seqsum"
      measured = table.rates(setting, name, "train")
      middle = statistics.median(measured)
      ax.barh(row, middle, height=0.7, color=OURS if ours else THEIRS)
      ax.plot([min(measured), max(measured)], [row, row], color="black", lw=1)
      ax.annotate(  # at the bar's start, clear of rooflines and ranges
        f"{middle:,.0f}",
        (0, row),
        (4, 0),
        textcoords="offset points",
        va="center",
        fontsize=9,
        fontweight="bold" if ours else "normal",
        color="white" if ours else "black",
      )
    limits = (table.PADDED, "padded", 0.4), (table.REAL, "no padding", -0.6)
    for frames, label, above in limits:  # one label below the other
      if place := table.limit(setting, frames, "train"):
        ax.axvline(place, color=LIMIT, lw=1, ls=(0, (4, 3)), zorder=0)
        ax.annotate(
          f"roofline, {label}: {place:,.0f}",
          (place, len(names) - above),
          (-3, 0),
          textcoords="offset points",
          ha="right",
          va="top",
          fontsize=8,
          color=LIMIT,
        )
    ax.set_title(f"batch {setting['batch']}", loc="left", fontsize=10)
    ax.set_yticks(range(len(names)), [table.LABELS[name] for name in names])
    ax.set_ylim(len(names) + 1.6, -0.6)
    ax.tick_params(axis="y", length=0)
    ax.xaxis.set_major_formatter("{x:,.0f}")
    ax.tick_params(axis="x", labelsize=8, colors=LIMIT)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.spines["bottom"].set_color(LIMIT)
  for label in axes[0][0].get_yticklabels():
    if label.get_text() == "seqsum":
      label.set(color=OURS, fontweight="bold")
  fig.suptitle(
    f"Training, sequences per second on {threads} cores",
    x=0.01,
    ha="left",
    fontsize=11,
    fontweight="bold",
  )
  fig.savefig(path, dpi=150)
  plt.close(fig)
  return fig
