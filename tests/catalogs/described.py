"""Small descriptions of APIs, and the rows that they come to."""

import json

from jitgate.catalogs.description import described
from jitgate.catalogs.openapi import Imported, imported
from jitgate.core.catalog import CatalogRow


def api(paths, version="3.0.3", **more):
    """A description as bytes."""
    return json.dumps({"openapi": version, "paths": paths, **more}).encode()


def made(paths, *, prefix=None, hosts=(), present=(), **more) -> Imported:
    content = described(api(paths, **more))
    return imported(content, prefix=prefix, hosts=hosts, present=present)


def row(method="get", path="/things", components=None, **operation) -> CatalogRow:
    """The only row of one operation."""
    more = {} if components is None else {"components": components}
    (only,) = made({path: {method: {"operationId": "it", **operation}}}, **more).rows
    return only
