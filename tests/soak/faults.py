"""What goes wrong with the site while it is used, and which errors each such fault explains.

What a fault explains is as narrow as what it does: which kinds of calls, with which answer, and
which lines of the log, while it lasts and for a moment after.
"""

from __future__ import annotations

import os
import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass

from support.gateway import health

from jitgate.cli.calling import NotTold

from .judging import Explains, Window
from .site import Site

Doing = Callable[[Site, random.Random, threading.Event], None]
"""Does it, until the event is set or it is over by itself."""

BROKEN = (
    r"(OSError|SSL\w*Error|SSLEOFError|Connection\w+Error|BrokenPipeError|IncompleteRead|"
    r"BadStatusLine|RemoteDisconnected|TimeoutError|CONNECT was answered with nothing|"
    r"ended without a word|was cut off|RST_STREAM|NotTold|broke off)"
)
"""What an agent sees of a gateway's process that ends."""

WATCHED = ("control process", "worker 1")
"""What is looked at for as long as the soak lasts, and is therefore never ended."""

BACK = 120.0
"""Seconds in which another worker has taken the place of one that has ended, on a busy machine."""

ASKING = r"^(held|later|flight|disowned|vanish)\b"
RECORDER = r"(50[23] (recorder|.*record)|recorder-down)"


NOTHING = Explains()
BY_SLACK = Explains(log=r"(?i)slack")
SLACK_AGAIN = 40.0
"""Seconds in which Slack is surely tried again that did not work."""


@dataclass(frozen=True)
class Fault:
    """One way in which the site fails."""

    name: str
    do: Doing
    explains: Explains = NOTHING
    lasts: tuple[float, float] = (2.0, 8.0)
    """Seconds, at least and at most."""
    grace: float = 5.0
    """Seconds for which it is still felt."""
    can: Callable[[Site], bool] = lambda _: True
    part: str = ""
    """Of the site, which only one fault at a time can have."""


# --- what each does


def _while(begin: Callable[[Site, random.Random], None], end: Callable[[Site], None]) -> Doing:
    def do(site: Site, chance: random.Random, over: threading.Event) -> None:
        begin(site, chance)
        try:
            over.wait()
        finally:
            end(site)

    return do


def _no_tokens(site: Site, chance: random.Random) -> None:
    assert site.org is not None
    site.org.tell(token=chance.choice(["down", "broken", "cut", "silent"]))


def _tokens_again(site: Site) -> None:
    assert site.org is not None
    site.org.tell()


def _no_slack(site: Site, chance: random.Random, over: threading.Event) -> None:
    assert site.slack is not None
    site.is_slack_up = False
    try:
        with site.slack.down():
            over.wait()
    finally:
        site.is_slack_up = True


def _slack_errs(site: Site, chance: random.Random, over: threading.Event) -> None:
    assert site.slack is not None
    slack = site.slack
    how = chance.choice([slack.fail, slack.limit, slack.lose])
    how("*", times=chance.randint(1, 4))
    over.wait()
    slack.front.faults.clear()


def _store_restarts(site: Site, chance: random.Random, over: threading.Event) -> None:
    assert site.postgres is not None
    site.postgres.stop(chance.choice([signal.SIGINT, signal.SIGQUIT]))
    try:
        over.wait(chance.uniform(0, 3))
    finally:
        site.lasting.submit(site.postgres.start).result()


def _disk(how: str) -> Doing:
    def begin(site: Site, _: random.Random) -> None:
        new = site.fault.with_suffix(".new")
        new.write_text(how)
        new.replace(site.fault)

    return _while(begin, lambda site: site.fault.unlink())


def _reloads(site: Site, chance: random.Random, over: threading.Event) -> None:
    """One that meets a worker that ends is refused, and said again: so does an operator."""
    site.policy(chance.randint(1, 10**6))
    for _ in range(10):
        try:
            return site.operate(command="reload")
        except NotTold:
            time.sleep(2)
    raise RuntimeError("it could not be reloaded")


def _cannot_reload(site: Site, chance: random.Random, over: threading.Event) -> None:
    """The files are wrong, and then right again: nothing of either may be felt."""
    good = (site.folder / "policy.yaml").read_bytes()
    new = site.folder / "policy.new"
    new.write_bytes(good.replace(b'"effect":"review"', b'"effect":"reviewed"'))
    new.replace(site.folder / "policy.yaml")
    site.gateway.process.send_signal(signal.SIGHUP)
    over.wait(2)
    new.write_bytes(good)
    new.replace(site.folder / "policy.yaml")


def _worker_ends(number: signal.Signals) -> Doing:
    def do(site: Site, chance: random.Random, over: threading.Event) -> None:
        others = [pid for pid, name in site.processes().items() if name not in WATCHED]
        if others:
            with suppress(ProcessLookupError):
                os.kill(chance.choice(others), number)
        over.wait(2)
        # A reload, for one, ends whoever has not got so far as to read it.
        deadline = time.monotonic() + BACK
        while not _all_serve(site) and time.monotonic() < deadline:
            time.sleep(0.5)

    return do


def _all_serve(site: Site) -> bool:
    """Whether all workers serve."""
    with suppress(OSError):
        return health(site.gateway)[1]["workers"]["state"] == "ok"
    return False


def _no_keeper(site: Site, _: random.Random) -> None:
    site.keeper.up = False


def _keeper_again(site: Site) -> None:
    site.keeper.up = True


def _no_archive(site: Site, _: random.Random) -> None:
    assert site.archive is not None
    site.archive.shut()


def _archive_again(site: Site) -> None:
    assert site.archive is not None
    site.archive.open()


def _flood(site: Site, chance: random.Random, over: threading.Event) -> None:
    """Many come and say nothing, or half of something."""
    with ExitStack() as opened:
        for _ in range(chance.randint(50, 300)):
            with suppress(OSError):
                raw = opened.enter_context(socket.create_connection(site.gateway.proxy, 5))
                raw.sendall(b"CONNECT api.example:443 HT"[: chance.randint(0, 26)] or b"C")
        over.wait()


# --- all of them

FAULTS = (
    Fault(
        "no tokens",
        _while(_no_tokens, _tokens_again),
        Explains(calls=r"^okta: (50[234]|429) ", log=r"(?i)token|credential|okta"),
        grace=15.0,
        can=lambda site: site.org is not None,
    ),
    Fault(
        "Slack down",
        _no_slack,
        BY_SLACK,
        lasts=(3.0, 15.0),
        grace=SLACK_AGAIN,
        can=lambda site: site.slack is not None,
    ),
    Fault(
        "Slack errs",
        _slack_errs,
        BY_SLACK,
        grace=SLACK_AGAIN,
        can=lambda site: site.slack is not None,
    ),
    Fault(
        "store restarts",
        _store_restarts,
        Explains(
            calls=ASKING + r".*(50[23] |NotTold|SaidNo|nobody was asked|expired|pending)",
            log=r"(?i)store|postgres|database",
        ),
        grace=10.0,
        can=lambda site: site.postgres is not None,
    ),
    Fault(
        "slow disk",
        _disk("slow"),
        Explains(
            calls=rf"{RECORDER}|{ASKING}.*(nobody was asked|429|202|expired|pending|NotTold)|"
            r"websocket: .*Neither side|50[23] (where|came where)",
            log=r"(?i)record|worker|site log|checkpoint",
        ),
        grace=20.0,
        can=lambda site: "LD_PRELOAD" in site.env,
        part="disk",
    ),
    Fault(
        "disk fails",
        _disk("sync-eio"),
        Explains(
            calls=rf"{RECORDER}|{BROKEN}|{ASKING}.*(nobody was asked|pending|NotTold|SaidNo)|50[23] (where|came where)",
            log=r"(?i)record|worker|site log|checkpoint|log",
            record=True,
        ),
        lasts=(1.0, 4.0),
        grace=20.0,
        can=lambda site: "LD_PRELOAD" in site.env,
        part="disk",
    ),
    Fault(
        "reload",
        _reloads,
        Explains(log=r"Not reloaded.*process of the gateway stops|Files have changed"),
        grace=3.0,
        part="policy",
    ),
    Fault(
        "bad reload",
        _cannot_reload,
        Explains(log=r"(?i)reload|policy"),
        grace=3.0,
        part="policy",
    ),
    Fault(
        "worker killed",
        _worker_ends(signal.SIGKILL),
        Explains(calls=rf"{BROKEN}|50[23] ", log=r"(?i)worker|process"),
        grace=15.0,
        can=lambda site: site.workers > 1,
    ),
    Fault(
        "worker stopped",
        _worker_ends(signal.SIGTERM),
        Explains(calls=rf"{BROKEN}|503 |202 |{ASKING}.*", log=r"(?i)worker|process"),
        grace=15.0,
        can=lambda site: site.workers > 1,
    ),
    Fault(
        "keeper down",
        _while(_no_keeper, _keeper_again),
        Explains(log=r"(?i)keeper|checkpoint|ops"),
        grace=60.0,
    ),
    Fault(
        "archive stalls",
        _while(_no_archive, _archive_again),
        Explains(log=r"(?i)archive|s3"),
        lasts=(5.0, 30.0),
        grace=60.0,
        can=lambda site: site.archive is not None,
    ),
    Fault("flood", _flood),
)


class Mischief:
    """Has faults happen at random, one after another, now and then two at once."""

    def __init__(self, site: Site, seed: int, pause: float, clock: Callable[[], float]) -> None:
        self.windows: list[Window] = []
        self._site, self._pause, self._clock = site, pause, clock
        self._chance = random.Random(f"{seed}-faults")
        self._faults = [fault for fault in FAULTS if fault.can(site)]
        self._bag: list[Fault] = []
        self.failed: list[str] = []
        self.by_itself: list[str] = []
        """What counterparts failed with that were asked for no fault."""
        self._taking = threading.Lock()
        self._taken = set[str]()
        """The parts that have a fault, and the faults that have none of their own."""

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Faults happen while the context lasts, and have all ended after it."""
        over = threading.Event()
        threads = [threading.Thread(target=self._work, args=(over, lane)) for lane in (0, 1)]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            over.set()
            for thread in threads:
                thread.join()

    def slack_failed(self, what: str) -> None:
        """The tests' Slack could not deal with a call, and said so: nobody asked it to."""
        now = self._clock()
        self.windows.append(Window("Slack by itself", BY_SLACK, now - 1.0, now, SLACK_AGAIN))
        self.by_itself.append(what)

    def _next(self) -> Fault:
        """Each comes once before any comes again."""
        if not self._bag:
            self._bag = self._chance.sample(self._faults, len(self._faults))
        return self._bag.pop()

    def _work(self, over: threading.Event, lane: int) -> None:
        # The second lane waits for longer, so that two at once are the exception.
        while not over.wait(self._chance.uniform(0.3, 1.7) * self._pause * (1 + 3 * lane)):
            fault = self._next()
            if self._takes(fault):
                self._happen(fault, over)
                self._taken.remove(fault.part or fault.name)

    def _takes(self, fault: Fault) -> bool:
        part = fault.part or fault.name
        with self._taking:
            is_free = part not in self._taken
            self._taken.add(part)
        return is_free

    def _happen(self, fault: Fault, over: threading.Event) -> None:
        window = Window(fault.name, fault.explains, self._clock(), grace=fault.grace)
        self.windows.append(window)
        enough = threading.Event()
        chance = random.Random(self._chance.random())

        def do() -> None:
            try:
                fault.do(self._site, chance, enough)
            except Exception as error:  # noqa: BLE001 (whatever it is, the soak is worth nothing)
                self.failed.append(f"{fault.name} could not be done: {error!r}")

        doing = threading.Thread(target=do)
        doing.start()
        over.wait(self._chance.uniform(*fault.lasts))
        enough.set()
        doing.join()
        window.ended = self._clock()
