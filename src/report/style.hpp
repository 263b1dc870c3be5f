// The page's style sheet: one accent, paper and ink that follow the reader's light or dark setting, and print.
#pragma once

#include <string_view>

namespace tg::report {

inline constexpr std::string_view style_sheet =
    R"css(
:root { color-scheme: light dark; --paper:#fcfbf8; --panel:#ffffff; --ink:#1d2733; --soft:#5d6976; )css"
    R"css(--rule:#e4e0d8; --faint:#f3f0ea;
  --c1:#1b6f8f; --c2:#c8672e; --c3:#7a9a3c; --c4:#b9bfc7; --c5:#a63d4b; --good:#1b6f8f; --bad:#c8672e; }
@media (prefers-color-scheme: dark) { :root { --paper:#12161c; --panel:#181e26; --ink:#e6e9ed; --soft:#97a3b1; )css"
    R"css(--rule:#2b333e; --faint:#1e252f;
  --c1:#58b4d6; --c2:#e8915a; --c3:#a8c66c; --c4:#56616e; --c5:#e07a86; --good:#58b4d6; --bad:#e8915a; } }
* { box-sizing: border-box; }
html { scroll-behavior: smooth; -webkit-text-size-adjust: 100%; }
body { margin:0; background:var(--paper); color:var(--ink); font:15px/1.55 system-ui,-apple-system,"Segoe UI",)css"
    R"css(Roboto,"Noto Sans","DejaVu Sans",sans-serif; font-variant-numeric: tabular-nums; }
.wrap { max-width: 1080px; margin: 0 auto; padding: 0 28px 80px; }
header { padding: 56px 0 22px; border-bottom: 2px solid var(--ink); }
h1,h2,h3 { font-family:"Iowan Old Style","Palatino Linotype",Palatino,"Book Antiqua",Georgia,"DejaVu Serif",)css"
    R"css(serif; font-weight:600; line-height:1.2; margin:0; text-wrap: balance; }
h1 { font-size: 38px; letter-spacing:-.01em; overflow-wrap:anywhere; }
header .kicker { text-transform: uppercase; letter-spacing:.14em; font-size:12px; color:var(--c1); )css"
    R"css(font-weight:600; margin:0 0 10px; }
header .meta { color:var(--soft); margin:12px 0 0; overflow-wrap:anywhere; }
nav { display:flex; flex-wrap:wrap; gap:4px 18px; padding:12px 0; font-size:13.5px; )css"
    R"css(border-bottom:1px solid var(--rule); position:sticky; top:0; background:var(--paper); z-index:2; }
nav a { color:var(--soft); text-decoration:none; } nav a:hover, nav a:focus-visible { color:var(--c1); )css"
    R"css(text-decoration:underline; }
.tiles { display:grid; grid-template-columns: repeat(auto-fit,minmax(200px,1fr)); gap:1px; )css"
    R"css(background:var(--panel); border:1px solid var(--rule); margin:28px 0 8px; }
.tile { background:var(--panel); box-shadow:0 0 0 1px var(--rule); padding:16px 18px 14px; }
.tile b { display:block; font-family:"Iowan Old Style","Palatino Linotype",Palatino,Georgia,"DejaVu Serif",serif; )css"
    R"css(font-size:29px; font-weight:600; line-height:1.15; }
.tile .name { font-size:12px; color:var(--soft); letter-spacing:.03em; }
.tile .more { font-size:12.5px; color:var(--soft); display:block; margin-top:3px; }
.tile.missing b { color:var(--soft); font-size:20px; line-height:33px; font-style:italic; font-weight:400; }
section { padding-top: 44px; scroll-margin-top: 40px; }
section > h2 { font-size:25px; margin-bottom:6px; padding-bottom:8px; border-bottom:1px solid var(--rule); }
figure { margin: 22px 0 30px; break-inside: avoid; }
h3 { font-size:17px; margin:0 0 10px; }
figcaption { color:var(--soft); font-size:13.5px; margin-top:10px; max-width: 78ch; }
figcaption b { color:var(--ink); white-space:nowrap; }
.bars + .scroll { margin-top:20px; }
.source { display:inline-block; font:12px/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",)css"
    R"css(monospace; color:var(--soft); background:var(--faint); border-radius:3px; padding:1px 6px; }
.dim { color:var(--soft); font-size:.9em; }
.not-run { color:var(--soft); background:var(--faint); border-left:3px solid var(--c4); padding:10px 14px; )css"
    R"css(margin:18px 0; }
.not-run b { color:var(--ink); }
.scroll { overflow-x:auto; }
table { border-collapse:collapse; width:100%; font-size:14px; }
th { text-align:left; font-size:12px; color:var(--soft); font-weight:600; border-bottom:1.5px solid var(--ink); )css"
    R"css(padding:4px 12px 6px 0; vertical-align:bottom; }
td { border-bottom:1px solid var(--rule); padding:6px 12px 6px 0; vertical-align:top; overflow-wrap:anywhere; }
td.n, th.n { text-align:right; white-space:nowrap; padding-right:14px; } td.n:last-child, )css"
    R"css(th.n:last-child { padding-right:2px; }
.pre { white-space:pre-wrap; }
code, pre { font:12.5px/1.5 ui-monospace,SFMono-Regular,Menlo,Consolas,"DejaVu Sans Mono",monospace; }
pre { background:var(--faint); padding:14px 16px; overflow-x:auto; border-radius:4px; }
details { margin:14px 0; } summary { cursor:pointer; color:var(--c1); padding:4px 0; }
.bars { display:grid; grid-template-columns: minmax(90px,max-content) minmax(120px,1fr) minmax(96px,max-content); )css"
    R"css(gap:5px 14px; align-items:center; font-size:14px; }
.bar-label { text-align:right; max-width:260px; line-height:1.25; overflow-wrap:anywhere; }
.bar { display:flex; height:17px; background:var(--faint); }
.bar span { display:block; height:100%; min-width:1px; }
.bar-note { color:var(--soft); font-size:13px; } .bar-note b { color:var(--ink); }
span.c1,i.c1 { background:var(--c1); } span.c2,i.c2 { background:var(--c2); } span.c3,)css"
    R"css(i.c3 { background:var(--c3); } span.c4,i.c4 { background:var(--c4); } span.c5,i.c5 { background:var(--c5); }
.legend { display:flex; flex-wrap:wrap; gap:4px 20px; margin:0 0 10px; font-size:13px; color:var(--soft); }
.legend i { display:inline-block; width:12px; height:12px; margin-right:7px; vertical-align:-1px; } )css"
    R"css(.legend i.ring { border:2px solid var(--soft); border-radius:50%; }
svg { width:100%; height:auto; display:block; max-width:820px; }
svg text { font:12px system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","DejaVu Sans",sans-serif; fill:var(--soft); }
svg .row-label { fill:var(--ink); font-size:13px; } svg .grid { stroke:var(--rule); } svg .axis { stroke:var(--soft); }
svg .line { fill:none; stroke-width:2; stroke-linejoin:round; } svg .faint { stroke-width:1; opacity:.75; } )css"
    R"css(svg .dashed { stroke-dasharray:5 5; }
svg .line.c1 { stroke:var(--c1); } svg .line.c2 { stroke:var(--c2); } svg .line.c3 { stroke:var(--c3); } )css"
    R"css(svg .line.c4 { stroke:var(--c4); }
svg .dot.c1 { fill:var(--c1); } svg .area { fill-opacity:.45; stroke-width:1.2; } svg .area.c1 { fill:var(--c1); )css"
    R"css(stroke:var(--c1); } svg .area.c4 { fill:var(--c4); stroke:var(--c4); }
svg .change { stroke-width:3; } svg .change.up { stroke:var(--good); } svg .change.down { stroke:var(--bad); }
svg .before { fill:var(--paper); stroke:var(--soft); stroke-width:2; } svg .after.up { fill:var(--good); } )css"
    R"css(svg .after.down { fill:var(--bad); }
svg .difference { font-size:13px; font-weight:600; } svg .difference.up { fill:var(--good); } )css"
    R"css(svg .difference.down { fill:var(--bad); }
.notes { color:var(--soft); font-size:13.5px; padding-left:18px; } .notes b { color:var(--ink); font-weight:600; }
.gallery { display:grid; grid-template-columns:repeat(auto-fill,minmax(232px,1fr)); gap:16px; }
.card { border:1px solid var(--rule); background:var(--panel); display:flex; flex-direction:column; )css"
    R"css(break-inside:avoid; }
.picture { background:var(--faint); height:180px; display:flex; align-items:center; justify-content:center; )css"
    R"css(overflow:hidden; color:var(--soft); font-size:12.5px; font-style:italic; }
.picture img { max-width:100%; max-height:100%; object-fit:contain; display:block; }
.words { padding:11px 13px 4px; flex:1; overflow-wrap:anywhere; } .words p { margin:0 0 7px; }
.task { font-size:11.5px; color:var(--c1); line-height:1.35; } .task i { font-style:normal; color:var(--soft); )css"
    R"css(padding:0 4px; }
.q { font-size:13.5px; line-height:1.4; } .a { font-size:13.5px; line-height:1.4; color:var(--soft); )css"
    R"css(padding-left:10px; border-left:2px solid var(--rule); }
.votes { margin:0; padding:7px 13px 9px; border-top:1px solid var(--rule); font-size:11.5px; color:var(--soft); )css"
    R"css(display:flex; flex-wrap:wrap; gap:4px 5px; align-items:center; }
.vote { width:18px; height:18px; border-radius:50%; text-align:center; line-height:18px; font-size:11px; )css"
    R"css(color:var(--panel); } .vote.yes { background:var(--c1); } .vote.no { background:var(--c5); } )css"
    R"css(.vote.gone { background:var(--c4); }
.votes em { color:var(--c5); font-style:normal; font-weight:600; padding:0 4px; } .votes .uri { margin-left:auto; )css"
    R"css(overflow-wrap:anywhere; text-align:right; }
footer { margin-top:56px; padding-top:14px; border-top:1px solid var(--rule); color:var(--soft); font-size:13px; }
@media (max-width: 640px) { .wrap { padding:0 16px 60px; } h1 { font-size:29px; } nav { position:static; } )css"
    R"css(.bars { grid-template-columns: minmax(70px,34%) 1fr minmax(70px,max-content); gap:5px 9px; } }
@media print { :root { --paper:#fff; --panel:#fff; --ink:#000; --soft:#444; --rule:#ccc; --faint:#f2f2f2; )css"
    R"css(--c1:#1b6f8f; --c2:#c8672e; --c3:#7a9a3c; --c4:#b9bfc7; --c5:#a63d4b; --good:#1b6f8f; --bad:#c8672e; }
  body { font-size:10.5pt; } nav { display:none; } section { padding-top:18pt; } )css"
    R"css(.gallery { grid-template-columns:repeat(4,1fr); } .picture { height:110pt; } .bar, .bar span, .tile, )css"
    R"css(.vote, .legend i { print-color-adjust: exact; -webkit-print-color-adjust: exact; } details { display:none; } }
)css";

}  // namespace tg::report
