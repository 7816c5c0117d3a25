# SPDX-License-Identifier: Apache-2.0
"""Medians and ratios of what was measured, as a table, Markdown, JSON and plots.

Results are {scenario: {metric: {label: [value of each round]}}}; a metric's name ends with its
unit.
"""
import json
import pathlib
import statistics


def number(value):
    if value >= 1000:
        return f"{value:.0f}"
    return f"{value:.3g}" if value >= 0.001 else f"{value:.1g}"


def cell(values, disk, null):
    if not values:
        return "-"
    middle = statistics.median(values)
    text = number(middle)
    ratios = [f"×{middle / statistics.median(base):.2f}{name}"
              for base, name in ((disk, ""), (null, " null")) if base and statistics.median(base)]
    return f"{text} ({', '.join(ratios)})" if ratios else text


def rows_of(results, labels, disk):
    """The table's lines: scenario, metric, unit, a cell for each label."""
    for scenario, metrics in results.items():
        for metric, by_label in metrics.items():
            name, unit = metric.rsplit(" ", 1)
            cells = []
            for label in labels:
                null = by_label.get("null") if label not in ("null", disk) else None
                base = by_label.get(disk) if label != disk else None
                cells.append(cell(by_label.get(label), base, null))
            yield [scenario, name, unit, *cells]


def used_labels(results, labels):
    seen = {label for metrics in results.values() for found in metrics.values() for label in found}
    return [label for label in labels if label in seen]


def table(results, labels, disk):
    labels = used_labels(results, labels)
    lines = [["scenario", "metric", "unit", *labels], *rows_of(results, labels, disk)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join("  ".join(text.ljust(width) for text, width in zip(line, widths)).rstrip()
                     for line in lines)


def markdown(results, labels, disk, about):
    labels = used_labels(results, labels)
    lines = ["# spillfs measured", "", *(f"- {name}: {value}" for name, value in about.items()), "",
             f"Medians; × is the ratio to {disk}, and to the null server where it says so.", ""]
    for scenario in results:
        lines += [f"## {scenario}", "", f"| metric | unit | {' | '.join(labels)} |",
                  "|---" * (len(labels) + 2) + "|"]
        for _, *cells in rows_of({scenario: results[scenario]}, labels, disk):
            lines.append(f"| {' | '.join(cells)} |")
        lines.append("")
    return "\n".join(lines)


def as_json(results, about):
    return json.dumps({"about": about, "results": results}, indent=1, ensure_ascii=False) + "\n"


def plot(results, labels, folder):
    """A picture for each scenario: a bar for each target, a panel for each metric."""
    import matplotlib
    matplotlib.use("Agg")
    from matplotlib import pyplot

    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for scenario, metrics in results.items():
        columns = min(4, len(metrics))
        lines = -(-len(metrics) // columns)
        figure, axes = pyplot.subplots(lines, columns, figsize=(4 * columns, 3 * lines),
                                       squeeze=False, layout="constrained")
        for axis in axes.flat[len(metrics):]:
            axis.set_visible(False)
        for axis, (metric, by_label) in zip(axes.flat, metrics.items()):
            shown = [label for label in labels if label in by_label]
            axis.bar(shown, [statistics.median(by_label[label]) for label in shown])
            axis.set_title(metric, fontsize=9)
            axis.tick_params(axis="x", rotation=30, labelsize=8)
        figure.suptitle(scenario)
        figure.savefig(folder / f"{scenario}.png", dpi=110)
        pyplot.close(figure)
