"""What every report is: one HTML page that needs nothing beside it, and its figures as PNG files."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from invrec_rllib.errors import InputError, require
from invrec_rllib.scenario.files import write_bytes_atomically

GENERATOR = "invrec-rllib report"
"""What the page's generator tag says: a page without it is not ours to replace."""

PAGE_NAME = "index.html"


@dataclass(frozen=True)
class Picture:
    """A figure of the page.

    Attributes:
        name: of its PNG file, without suffix.
        png: its bytes.
        alt: what it shows, for readers who do not see it.
    """

    name: str
    png: bytes
    alt: str


def render(template: str, context: Mapping[str, Any]) -> str:
    """HTML from a Jinja template, which finds `css`, `generator` and the function `picture` besides its context.

    It extends ``frame.html``, and may import what ``tables.html`` has; both lie beside this module.

    Raises:
        MissingExtraError: jinja2 is not installed.
    """
    jinja2 = require("jinja2", extra="report")
    shared = resources.files("invrec_rllib.report")
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(lambda name: (shared / name).read_text("utf-8")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    markup = jinja2.utils.markupsafe.Markup

    def picture(shown: Picture) -> Any:
        return markup('<figure><img src="data:image/png;base64,{}" alt="{}"></figure>').format(
            base64.b64encode(shown.png).decode(), shown.alt
        )

    css = (shared / "page.css").read_text("utf-8")
    html: str = environment.from_string(template).render(
        context, css=markup(css), generator=GENERATOR, picture=picture
    )
    return html


def check_installed() -> None:
    """See that figures can be drawn and pages written, before the work that they are to show.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    for module in ("matplotlib", "jinja2"):
        require(module, extra="report")


def check_replaceable(page: Path, *, pictures: Collection[str]) -> None:
    """See that a page may be written.

    Args:
        page: the file.
        pictures: names of the files that would lie beside it.

    Raises:
        InputError: the page, or without one a picture, exists and is not a report's.
    """
    if page.is_file():
        ours = f'content="{GENERATOR}"' in page.read_text("utf-8", errors="replace")[:2000]
        taken = [] if ours else [page.name]
    else:
        taken = [name for name in pictures if (page.parent / name).exists()]
    if taken:
        raise InputError(
            f"{page.parent} holds {', '.join(taken)}, not written by a report: choose another folder with out="
        )


def write_page(
    page: Path, html: str, *, pictures: Collection[Picture], replaced: Collection[str] = ()
) -> Path:
    """Write a page and its pictures, each file atomically.

    Args:
        page: the file.
        html: its text.
        pictures: that lie beside it.
        replaced: files of an older report, which go where they are not among the new.
    """
    # The page first: from then on the folder is known as a report's.
    write_bytes_atomically(page, html.encode())
    files = {f"{picture.name}.png": picture.png for picture in pictures}
    for name, png in files.items():
        write_bytes_atomically(page.parent / name, png)
    for name in replaced:
        if name not in files:
            (page.parent / name).unlink(missing_ok=True)
    return page
