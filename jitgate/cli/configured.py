"""The configuration, for commands that may do without one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

FILE = "etc/jitgate.yaml"
"""The configuration where none is named."""


def named_file(named: Path | None) -> Path:
    """The configuration's file: as it was named, else as JITGATE_CONFIG says, else `FILE`.

    Raises `ConfigurationInvalid` where nobody named one and `FILE` is not there.
    """
    file = named or Path(os.environ.get("JITGATE_CONFIG", FILE))
    if f"{file}" == FILE and not file.is_file():
        from jitgate.errors import ConfigurationInvalid

        told = f"No configuration is named, and {FILE} is not here: name it with --config FILE."
        raise ConfigurationInvalid([told])
    return file


def configuration(path: Path) -> Any:
    """What the file says; raises `ConfigurationInvalid`."""
    # Reading configurations takes a tenth of a second to import, which --recordings can spare.
    from jitgate.config import load

    return load(path)


def socket_in_any_state(file: Path) -> Path:
    """The control socket that the file names, whatever else is wrong in it.

    Raises `ConfigurationInvalid` where it does not get so far as to say.
    """
    from jitgate.config import control_socket, read_all
    from jitgate.errors import ConfigurationInvalid

    found = control_socket(file)
    if found is None:
        raise ConfigurationInvalid(read_all(file)[1])
    return found
