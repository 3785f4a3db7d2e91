"""HTML templates, with the filters and the look that all pages share."""

from __future__ import annotations

from functools import lru_cache

import jinja2

from pawprint.data.wording import shown
from pawprint.pages import words


@lru_cache
def template(package: str, name: str) -> jinja2.Template:
    """Load a page's template; `base.css.j2` and `macros.html.j2` are there for it, too.

    >>> template("pawprint.doctor", "page.html.j2").name
    'page.html.j2'

    Args:
        package: that holds it, as it is imported.
        name: of the file.

    Returns:
        The template. What it is given is escaped, and a name that it is not given is an error.
    """
    loaders = [jinja2.PackageLoader(held, ".") for held in (package, "pawprint.pages")]
    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.ChoiceLoader(loaders),
        lstrip_blocks=True,
        trim_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters |= {
        "counted": words.counted,
        "interval": words.interval,
        "number": words.number,
        "percent": words.percent,
        "percents": words.percents,
        "raised": words.raised,
        "shown": shown,
        "told": words.told,
    }
    return environment.get_template(name)
