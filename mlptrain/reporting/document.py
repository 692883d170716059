"""HTML documents: the skeleton of a page, with its fonts and its colours in light and dark."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from mlptrain.system.text import printable_lines

_CSS = """
:root{--paper:#fefefe;--ink:#1b1f24;--muted:#5c6670;--grid:#d8dde3;--card:#f4f6f8;--accent:#00598c;
--s1:#0072b2;--s2:#d55e00;--s3:#009e73;--s4:#cc79a7;--s5:#e69f00;--s6:#56b4e9;--s7:#6b6f76;--s8:#a6761d;
--font:system-ui,"Segoe UI",Roboto,"Helvetica Neue","DejaVu Sans",sans-serif;color-scheme:light dark}
@media (prefers-color-scheme:dark){:root{--paper:#14171b;--ink:#e7eaee;--muted:#a2acb6;--grid:#39414a;--card:#1d2228;
--accent:#7cc4f0;--s1:#56b4e9;--s2:#f0803c;--s3:#3fc79d;--s6:#2f8fd0;--s7:#a5abb3;--s8:#cf9c45}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 var(--font)}
main{max-width:1240px;margin:0 auto;padding:1rem}
h1{font-size:1.5rem;margin:.5rem 0;overflow-wrap:anywhere}
h2{font-size:1.15rem;margin:2rem 0 .5rem;border-bottom:1px solid var(--grid);padding-bottom:.2rem}
h3{font-size:1rem;margin:1rem 0 .2rem}
p{margin:.3rem 0}
figure{margin:0;min-width:0}
.muted,figcaption{color:var(--muted);font-size:.9rem}
table{border-collapse:collapse;font-size:.9rem;font-variant-numeric:tabular-nums}
th,td{text-align:left;padding:.25rem .8rem .25rem 0;border-bottom:1px solid var(--grid);vertical-align:top}
"""


def html_document(title: str, sections: Sequence[str], css: str) -> str:
    """Return a page of HTML with ``sections`` in its body; ``css`` follows the common style."""
    return printable_lines(
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{escape(title)} · mlptrain</title><style>{_CSS}{css}</style></head>\n"
        f"<body><main>{chr(10).join(sections)}\n</main></body></html>\n"
    )
