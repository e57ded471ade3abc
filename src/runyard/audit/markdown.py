"""A report as Markdown, for a pull request: a short table, and what lies behind it folded away."""

from collections.abc import Sequence

from runyard.audit.measures import Measure, counted, duration
from runyard.audit.report import Report
from runyard.audit.thresholds import Threshold

_LONGEST = 200
_ALIKE = {"|": "¦", "`": "'"}


def markdown(report: Report, runs: int = 5, thresholds: Sequence[Threshold] = ()) -> str:
    """Return a report in GitHub's and GitLab's Markdown.

    Args:
        report: what was found.
        runs: how many findings of each measure are listed.
        thresholds: of a gate; what they say of each measure is in the table.

    """
    gate = bool(thresholds)
    headings = ["Measure", "Value", "Of", "Median", "p90", *(["Gate"] if gate else [])]
    lines = [
        f"### Audit of {'the whole server' if report.experiment is None else literal(report.experiment)}",
        "",
        f"{counted(report.runs, 'run')}{f' since {report.since:%Y-%m-%d %H:%M} UTC' if report.since else ''}.",
        "",
        _row(headings),
        _row(["---", "---:", "---:", "---:", "---:", *(["---"] if gate else [])]),
        *(_row(_cells(measure, thresholds)) for measure in report.measures),
        "",
        *(
            line
            for reason in list(report.unread.values())[:1]
            for line in (f"Not all could be read: {literal(reason)}", "")
        ),
    ]
    for measure in report.measures:
        lines += _details(measure, runs)
    return "\n".join(lines)


def literal(text: str) -> str:
    r"""Return a text that is shown, and nothing else: no Markdown, no HTML, no link, no mention of anybody.

    All that a span of code cannot hold in a table are backticks, bars and ends of lines: they are shown as others.

    >>> literal("a|b`<b>\n@c")
    "`a¦b'<b>�@c`"
    """
    shown = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return f"`{''.join(map(_character, shown))}`" if shown.strip() else "-"


def _character(character: str) -> str:
    if character in _ALIKE:
        return _ALIKE[character]
    return character if character.isprintable() else "\N{REPLACEMENT CHARACTER}"


def _cells(measure: Measure, thresholds: Sequence[Threshold]) -> list[str]:
    times = measure.times
    found = [
        measure.name.value,
        measure.percent,
        f"{measure.count:,} / {measure.of:,}",
        duration(times.median) if times else "",
        duration(times.p90) if times else "",
    ]
    asked = [threshold for threshold in thresholds if threshold.measure is measure.name]
    marks = [f"{'❌' if threshold.failure(measure) else '✅'} {threshold}" for threshold in asked]
    return [*found, *([", ".join(marks)] if thresholds else [])]


def _details(measure: Measure, runs: int) -> list[str]:
    lines = ["<details>", f"<summary>{measure.name}: {measure.count:,} of {measure.of:,} {measure.what}</summary>", ""]
    lines += [measure.meaning, ""]
    if shown := measure.behind[:runs]:
        lines += [_row(["Run", "Name", "What"]), _row(["---"] * 3)]
        lines += [
            _row([literal(each.runs[0] if each.runs else ""), literal(each.name), literal(each.says)]) for each in shown
        ]
        lines += [""]
        if more := len(measure.behind) - len(shown):
            lines += [f"{more:,} more.", ""]
    return [*lines, measure.remedy, "", "</details>", ""]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
