"""``python -m jitgate.sealer``: serve one user's recording until the process is told to end."""

from __future__ import annotations

import argparse
import pwd
import signal
import sys
from pathlib import Path

from jitgate.sealer.folder import Folder
from jitgate.sealer.keeping import Keeping, Refused
from jitgate.sealer.serving import Serving, listening


def main() -> int:
    """Serve; 2 if it cannot begin."""
    parser = argparse.ArgumentParser(prog="python -m jitgate.sealer", description=__doc__)
    parser.add_argument("--recordings", metavar="DIR", type=Path, required=True)
    parser.add_argument("--socket", metavar="FILE", type=Path, required=True)
    parser.add_argument("--user", required=True, help="whom it serves, by name or uid")
    parser.add_argument("--retention-days", metavar="N", type=int, help="left out: for ever")
    parser.add_argument("--holds", metavar="DIR", type=Path, help="goes with it: holds stand there")
    options = parser.parse_args()
    # A lease is broken with a signal, of which the process would die.
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        user = _uid(options.user)
        folder = Folder(options.recordings, user, _keeping(options))
        serving = Serving(listening(options.socket, user), folder, user)
    except (OSError, Refused) as error:
        print(f"The sealer cannot begin: {error}.", file=sys.stderr)
        return 2
    print(f"sealing {options.recordings} for uid {user}", flush=True)
    serving.run()
    return 0


def _keeping(options: argparse.Namespace) -> Keeping | None:
    if (options.retention_days is None) != (options.holds is None):
        raise Refused("--retention-days and --holds go together")
    return None if options.holds is None else Keeping(options.retention_days, options.holds)


def _uid(name: str) -> int:
    if name.isascii() and name.isdigit():
        return int(name)
    try:
        return pwd.getpwnam(name).pw_uid
    except KeyError:
        raise Refused(f"there is no user {name}") from None


if __name__ == "__main__":
    sys.exit(main())
