"""``twistd -ny twistd.tac`` serves etc/jitgate.yaml, or the file that JITGATE_CONFIG names."""

import os
from pathlib import Path

from twisted.application.service import Application
from twisted.internet import reactor

from jitgate.app import make_service
from jitgate.config import load
from jitgate.errors import MustStop
from jitgate.service import suit_interpreter

file = Path(os.environ.get("JITGATE_CONFIG", Path(__file__).parent / "etc" / "jitgate.yaml"))
application = Application("jitgate")
try:
    service = make_service(load(file), reactor)
    service.started.addCallback(suit_interpreter)
    service.setServiceParent(application)
except MustStop as error:
    raise SystemExit(f"{error}") from None
