"""What is wrong with how a page looks, by the scripts in probes/."""

from pathlib import Path

from playwright.sync_api import Page

PROBES = Path(__file__).parent / "probes"


def probe(page: Page, name: str) -> list[str]:
    """What `probes/NAME.js` finds on the page as it is now; nothing is best."""
    found: list[str] = page.evaluate((PROBES / f"{name}.js").read_text("utf-8"))
    return found
