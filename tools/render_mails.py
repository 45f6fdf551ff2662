"""Draws the golden e-mails as a mail program shows them, for a person to look at.

    python tools/render_mails.py FOLDER

writes a PNG for each of `tests/mail/golden/*.html` at 360 and 1,000 pixels, light and dark, with
headless Chromium. Do so before a golden file changes, and look at what you get.
"""

from __future__ import annotations

import base64
import re
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
GOLDEN = ROOT / "tests" / "mail" / "golden"
WAVEFORM = ROOT / "tests" / "mail" / "data" / "waveform.png"
WIDTHS = (360, 1000)
SCHEMES = {"dark": 0, "light": 1}
"""By the number that Chromium's `preferredColorScheme` has for them."""
_HEIGHT = 1100
_NARROWEST = 500
"""Pixels: no window of Chromium is narrower, so the e-mail is in a frame."""


def draw(chromium: str, mail: Path, folder: Path) -> None:
    """Writes the four pictures of one e-mail."""
    picture = base64.b64encode(WAVEFORM.read_bytes()).decode()
    shown = folder / mail.name
    shown.write_text(
        re.sub(r'cid:[^"]+', f"data:image/png;base64,{picture}", mail.read_text(encoding="utf-8")),
        encoding="utf-8",
    )
    page = folder / "page.html"
    for width in WIDTHS:
        for scheme, number in SCHEMES.items():
            page.write_text(
                f'<html style="color-scheme: {scheme}"><body style="margin: 0">'
                f'<iframe src="{shown.name}" width="{width}" height="{_HEIGHT}" '
                f'style="border: 0; color-scheme: {scheme}"></iframe>'
            )
            target = folder / f"{mail.stem}_{width}_{scheme}.png"
            subprocess.run(
                [
                    *(chromium, "--headless", "--no-sandbox", "--hide-scrollbars"),
                    *("--allow-file-access-from-files", f"--screenshot={target}"),
                    f"--blink-settings=preferredColorScheme={number}",
                    f"--window-size={max(width, _NARROWEST)},{_HEIGHT}",
                    str(page),
                ],
                check=True,
                capture_output=True,
            )
    page.unlink()
    shown.unlink()


def main() -> None:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if chromium is None or len(sys.argv) != 2:
        sys.exit("usage: python tools/render_mails.py FOLDER (with Chromium installed)")
    folder = Path(sys.argv[1]).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for mail in sorted(GOLDEN.glob("*.html")):
        draw(chromium, mail, folder)


if __name__ == "__main__":
    main()
