"""The style sheet of a report: nothing is loaded from elsewhere."""

STYLE = """
:root {
  color-scheme: light dark;
  --page: #fbfbf9; --card: #ffffff; --ink: #1b1d21; --soft: #5c626d; --rule: #e3e4e0;
  --good: #1a7f4b; --bad: #b3372f;
  --s0: #2563c9; --s1: #d9730d; --s2: #7a4fbf; --s3: #1f8a70; --other: #9aa0aa;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14161a; --card: #1c1f25; --ink: #e9eaec; --soft: #a2a8b3; --rule: #30343c;
    --good: #58c48a; --bad: #f08a80;
    --s0: #6ea8ff; --s1: #ffa657; --s2: #c09bff; --s3: #5fd3b3; --other: #737a86;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
main { max-width: 72rem; margin: 0 auto; padding: 2.5rem 1.25rem 4rem; }
h1 { font-size: 1.9rem; line-height: 1.2; letter-spacing: -0.015em; margin: 0 0 .35rem; }
h2 { font-size: 1.2rem; margin: 3rem 0 .35rem; letter-spacing: -0.005em; }
h3 { font-size: .95rem; margin: 0 0 .6rem; font-weight: 600; overflow-wrap: anywhere; }
p { margin: .3rem 0 .9rem; max-width: 46rem; }
.soft, figcaption { color: var(--soft); font-size: .875rem; }
.grid-of { display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); }
.tiles { display: grid; gap: 1rem; margin-top: 1.6rem;
  grid-template-columns: repeat(auto-fit, minmax(min(100%, 11rem), 1fr)); }
.box { background: var(--card); border: 1px solid var(--rule); border-radius: 10px;
  padding: 1rem 1.1rem; min-width: 0; }
.tile b { display: block; font-size: 1.75rem; line-height: 1.25; font-weight: 650;
  font-variant-numeric: tabular-nums; }
.tile span { display: block; color: var(--soft); font-size: .82rem; }
.tile .name { font-weight: 600; color: var(--ink); }
.good { color: var(--good) !important; } .bad { color: var(--bad) !important; }
.scroll { overflow-x: auto; border: 1px solid var(--rule); border-radius: 10px;
  background: var(--card); }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
  font-size: .9rem; }
th, td { padding: .5rem .55rem; text-align: right; border-bottom: 1px solid var(--rule);
  white-space: nowrap; vertical-align: top; }
th { font-weight: 600; color: var(--soft); font-size: .82rem; }
th:first-child, td:first-child { text-align: left; }
tbody tr:last-child td { border-bottom: 0; }
tr.own td { background: color-mix(in srgb, var(--s0) 8%, transparent); }
td b { font-weight: 700; }
td small { display: block; color: var(--soft); font-size: .72rem; }
th:first-child, td:first-child { padding-left: .9rem; }
th:last-child, td:last-child { padding-right: .9rem; }
figure { margin: 0; }
svg { display: block; width: 100%; height: auto; max-width: 30rem; }
svg text { font-size: 11px; fill: var(--soft); }
svg text.own { font-weight: 700; fill: var(--ink); }
svg .grid { stroke: var(--rule); stroke-width: 1; }
svg .ideal { stroke: var(--other); stroke-dasharray: 4 4; }
svg .line { fill: none; stroke-width: 2; stroke-linejoin: round; stroke-linecap: round; }
svg .range { stroke-width: 3; stroke-linecap: round; opacity: .55; }
svg .line.s0, svg .range.s0 { stroke: var(--s0); } svg .dot.s0 { fill: var(--s0); }
svg .line.s1 { stroke: var(--s1); } svg .dot.s1 { fill: var(--s1); }
svg .line.s2 { stroke: var(--s2); } svg .dot.s2 { fill: var(--s2); }
svg .line.s3 { stroke: var(--s3); } svg .dot.s3 { fill: var(--s3); }
svg .range.other { stroke: var(--other); } svg .dot.other { fill: var(--other); }
.legend { display: flex; flex-wrap: wrap; gap: .3rem 1.1rem; font-size: .82rem;
  color: var(--soft); margin: .5rem 0 0; }
.legend i { display: inline-block; width: .7rem; height: .7rem; border-radius: 50%;
  margin-right: .4rem; }
.legend i.s0 { background: var(--s0); } .legend i.s1 { background: var(--s1); }
.legend i.s2 { background: var(--s2); } .legend i.s3 { background: var(--s3); }
.example h4 { margin: .7rem 0 .2rem; font-size: .78rem; color: var(--soft); font-weight: 600; }
.example ol, .example ul { margin: 0; padding: 0; list-style: none; font-size: .88rem; }
.example li { display: flex; justify-content: space-between; gap: .8rem; padding: .18rem 0;
  border-top: 1px solid var(--rule); }
.example li span { min-width: 0; overflow-wrap: anywhere; unicode-bidi: plaintext; }
.example li em { font-style: normal; color: var(--soft); font-variant-numeric: tabular-nums;
  flex: none; }
dl { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: .35rem 1.2rem;
  margin: 0; font-size: .9rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
@media print { .box, .scroll { break-inside: avoid; } }
"""

# Of a chart that is a file of its own: its colours and what is said of `svg`.
CHART_STYLE = (
    STYLE[: STYLE.index("* { box-sizing")].strip()
    + "\nsvg { font-family: system-ui, sans-serif; }\n"
    + "\n".join(line for line in STYLE.splitlines() if line.startswith("svg ."))
    + "\nsvg text { font-size: 11px; fill: var(--soft); }"
)
