"""Draw the results of run.py as bars.

usage: python benchmarks/chart.py outputs/bench/results.json docs/images/performance.svg
"""

import json
import sys
from pathlib import Path

COLOURS = {"obvious": "#b9b9b9", "script": "#b9b9b9", "encoded": "#b9b9b9", "floor": "#e0b04c"}
OURS = "#2a6fb0"
WIDTH, BAR, GAP, LEFT = 860, 20, 26, 250


def groups(results):
    """Titles, and the seconds of each bar."""
    found = results["png_and_jpeg"]
    tiles = found["tiles"]
    return [
        (f"{tiles} tiles of 512 px as PNG", found["png"]["seconds"]),
        (f"{tiles} tiles of 512 px as JPEG", found["jpeg"]["seconds"]),
        (
            f"{results['reduced']['tiles']} tiles of 256 px at mpp 0.5, PNG",
            results["reduced"]["seconds"],
        ),
        (
            "the same JPEG tiles encoded, and passed through",
            results["passthrough"]["yardstick"]["seconds"],
        ),
    ]


def svg(results):
    parts, y = [], 20
    for title, seconds in groups(results):
        parts.append(f'<text x="10" y="{y + 4}" font-weight="bold">{title}</text>')
        y += 16
        most = max(seconds.values())
        for name, value in seconds.items():
            length = (WIDTH - LEFT - 90) * value / most
            colour = COLOURS.get(name, OURS)
            parts.append(f'<text x="{LEFT - 10}" y="{y + 15}" text-anchor="end">{name}</text>')
            parts.append(
                f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" fill="{colour}"/>'
            )
            parts.append(f'<text x="{LEFT + length + 8:.1f}" y="{y + 15}">{value:.1f} s</text>')
            y += BAR + 4
        y += GAP
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y}"'
        ' font-family="sans-serif" font-size="13">'
    )
    ground = f'<rect width="{WIDTH}" height="{y}" fill="white"/>'
    return "\n".join([head, ground, *parts, "</svg>", ""])


if __name__ == "__main__":
    source, target = map(Path, sys.argv[1:])
    target.write_text(svg(json.loads(source.read_text())))
