/// The colours of the drawing, for light and for dark surroundings.
enum Theme {
  /// The colours of neighbouring groups of merged tokens, told apart by lightness too.
  static let groupColors = [
    "#4c78a8", "#f2a93b", "#54a24b", "#e45756", "#72b7b2", "#b279a2", "#eeca3b", "#9d755d", "#7a88cf",
    "#d67195",
    "#8cb369", "#5f6b7a",
  ]

  static let style = """
    <style>
    .crop{--paper:#fff;--ink:#1c2330;--soft:#5b6475;--cell:#e6e9ef;--line:#fff;--kept:#0b7a75;--part:#7cc4bf;\
    --heat:#f08c00;--region:#d6336c}
    @media(prefers-color-scheme:dark){.crop{--paper:#12161d;--ink:#e8ecf3;--soft:#9aa5b8;--cell:#262d38;--line:#12161d;\
    --kept:#3ccfc4;--part:#1f6f6a;--heat:#ffb340;--region:#ff6b9d}}
    .crop text{font:13px system-ui,-apple-system,"Segoe UI",sans-serif;fill:var(--soft)}
    .crop text.head{font-size:15px;font-weight:600;fill:var(--ink)}
    .crop .paper{fill:var(--paper)}.crop .cell{fill:var(--cell)}.crop .kept{fill:var(--kept)}.crop .part{fill:var(--part)}
    .crop .inside{fill:var(--region);fill-opacity:.28}.crop .heat{fill:var(--heat)}.crop .dim{fill:#05070b;fill-opacity:.72}
    .crop .anchor{fill:var(--paper);stroke:var(--ink);stroke-width:.08}
    .crop .line{fill:none;stroke:var(--line);stroke-width:.07}.crop .over{fill:none;stroke:#000;stroke-opacity:.22;stroke-width:.05}
    .crop .border{fill:none;stroke:var(--ink);stroke-width:.1;stroke-linecap:square}
    .crop .edge{fill:none;stroke:var(--soft);stroke-width:1}
    .crop .region{fill:none;stroke:var(--region);stroke-width:3}.crop .halo{fill:none;stroke:var(--paper);stroke-width:6;stroke-opacity:.8}
    </style>

    """
}
