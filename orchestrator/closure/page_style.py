"""The style sheet of a certificate's page: light and dark, on paper, and without colour. Contrast is 7:1 or more."""

from __future__ import annotations

from typing import Final

STYLE: Final = """\
:root {
  color-scheme: light dark;
  --ink: #15191e; --dim: #454d57; --paper: #ffffff; --card: #f4f6f8; --line: #c3cad2;
  --good: #0b5a28; --good-back: #e3f4e8; --bad: #8c0f1c; --bad-back: #fdebec; --open: #6a4300; --open-back: #fff3da;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ink: #eceff3; --dim: #b9c1cb; --paper: #14181d; --card: #1d232a; --line: #46505b;
    --good: #8ee6ac; --good-back: #12321e; --bad: #ffb3b6; --bad-back: #421318; --open: #ffd68a; --open-back: #3a2a08;
  }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
main { max-width: 60rem; margin: 0 auto; padding: 1.5rem; }
h1 { margin: 0; font-size: clamp(1.3rem, 7vw, 2.4rem); line-height: 1.15; letter-spacing: 0.02em; }
h1 { overflow-wrap: anywhere; }
h2 { margin: 2rem 0 0.75rem; font-size: 1.2rem; border-bottom: 1px solid var(--line); padding-bottom: 0.25rem; }
.banner { padding: 1.25rem 1.5rem; border: 2px solid; border-left-width: 0.75rem; border-radius: 0.5rem; }
.banner p { margin: 0.5rem 0 0; color: var(--ink); font-size: 1.1rem; overflow-wrap: anywhere; }
.banner .kind { margin: 0; font-size: 0.9rem; text-transform: uppercase; letter-spacing: 0.08em; color: var(--dim); }
.good { color: var(--good); background: var(--good-back); }
.bad { color: var(--bad); background: var(--bad-back); }
.open { color: var(--open); background: var(--open-back); }
dl { display: grid; grid-template-columns: minmax(8rem, max-content) 1fr; gap: 0.4rem 1.25rem; margin: 0; }
dt { font-weight: 600; color: var(--dim); }
dd { margin: 0; overflow-wrap: anywhere; }
table { width: 100%; border-collapse: collapse; margin-top: 0.75rem; font-size: 0.95rem; }
caption { text-align: left; color: var(--dim); padding-bottom: 0.35rem; }
th, td { text-align: left; vertical-align: top; padding: 0.35rem 0.75rem 0.35rem 0; }
tr { border-bottom: 1px solid var(--line); }
td { overflow-wrap: anywhere; }
tbody th { font-weight: 600; white-space: nowrap; }
td.pass { color: var(--good); font-weight: 600; white-space: nowrap; }
td.fail { color: var(--bad); font-weight: 700; white-space: nowrap; }
td.skipped { color: var(--open); white-space: nowrap; }
code, pre { font-family: ui-monospace, monospace; font-size: 0.9em; overflow-wrap: anywhere; white-space: pre-wrap; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: 0.35rem; padding: 0.6rem 0.8rem; }
li { margin-bottom: 0.4rem; overflow-wrap: anywhere; }
footer { margin-top: 2rem; padding-top: 0.75rem; border-top: 1px solid var(--line); color: var(--dim); }
@media (max-width: 40rem) {
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: 0.6rem; }
  tbody th { white-space: normal; }
}
@media print {
  :root {
    color-scheme: light;
    --ink: #000000; --dim: #333333; --paper: #ffffff; --card: #ffffff; --line: #999999;
    --good: #004d1a; --good-back: #ffffff; --bad: #7a0010; --bad-back: #ffffff; --open: #553500; --open-back: #ffffff;
  }
  @page { margin: 15mm; }
  body { font-size: 10pt; }
  main { max-width: none; padding: 0; }
  h2 { break-after: avoid; }
  tr, li, dt, dd, .banner { break-inside: avoid; }
}
"""
