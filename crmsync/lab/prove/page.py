"""The matrix as one HTML page: no script, no resource of elsewhere, light and dark."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from crmsync.lab.prove.matrix import Cell, Matrix, matrices, summary
from crmsync.lab.prove.verdict import Verdict

_STYLE = """
:root { color-scheme: light dark; --line: #d0d4da; --good: #14713c; --bad: #b3261e; --dim: #667; --head: #f4f5f7; }
@media (prefers-color-scheme: dark) {
  :root { --line: #3a3f47; --good: #6fcf97; --bad: #ff8a80; --dim: #9aa; --head: #22262c; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 80rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { border: 1px solid var(--line); padding: .3rem .6rem; text-align: left; white-space: nowrap; }
th { background: var(--head); font-weight: 600; }
.good { color: var(--good); } .bad { color: var(--bad); font-weight: 600; } .dim { color: var(--dim); }
pre { white-space: pre-wrap; background: var(--head); padding: .6rem; border: 1px solid var(--line); }
"""


def page(verdicts: Sequence[Verdict], facts: Mapping[str, str]) -> str:
    """A whole HTML document."""
    is_good = all(verdict.is_good for verdict in verdicts)
    body = [
        "<h1>crmsync prove</h1>",
        f'<p class="{"good" if is_good else "bad"}">{escape(summary(verdicts))}</p>',
        _facts(facts),
        *(_table(matrix) for matrix in matrices(verdicts)),
        *_failures([verdict for verdict in verdicts if not verdict.is_good]),
    ]
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><title>crmsync prove</title>'
        f"<style>{_STYLE}</style></head>\n<body>\n" + "\n".join(body) + "\n</body></html>\n"
    )


def _facts(facts: Mapping[str, str]) -> str:
    rows = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>" for name, value in facts.items())
    return f"<table>{rows}</table>"


def _table(matrix: Matrix) -> str:
    head = "".join(f'<th scope="col">{escape(column)}</th>' for column in matrix.columns)
    rows = "".join(f"<tr>{_first(row)}{''.join(map(_cell, row[1:]))}</tr>\n" for row in matrix.rows)
    return (
        f"<h2>{escape(matrix.title)}</h2>\n"
        f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>\n{rows}</tbody></table></div>'
    )


def _first(row: Sequence[Cell | str]) -> str:
    return f'<th scope="row">{escape(str(row[0]))}</th>'


def _cell(cell: Cell | str) -> str:
    if isinstance(cell, str):
        return f"<td>{escape(cell)}</td>"
    return f'<td class="{"good" if cell.is_good else "bad"}">{escape(str(cell))}</td>'


def _failures(failed: Sequence[Verdict]) -> list[str]:
    if not failed:
        return []
    return ["<h2>What went wrong</h2>", *map(_failure, failed)]


def _failure(verdict: Verdict) -> str:
    findings = "".join(f"<li>{escape(finding)}</li>" for finding in verdict.findings)
    return f"<h3>{escape(str(verdict.case))}</h3>\n<ul>{findings}</ul>\n<pre>{escape(verdict.repeat)}</pre>"
