"""The ports that agents come to, for whichever process has them."""

from __future__ import annotations

from functools import partial
from typing import Any

from twisted.internet.interfaces import IStreamServerEndpoint

from jitgate.app.in_force import InForce
from jitgate.app.reloading import Adopt
from jitgate.app.story import Story
from jitgate.flow.recorder import Recorder
from jitgate.proxy.authority import CertificateAuthority
from jitgate.proxy.certificate import PortTls
from jitgate.proxy.listener import HttpProxyListener
from jitgate.proxy.port import AgentPort, ends_in
from jitgate.proxy.reverse import OwnHosts, ReverseListener


def ports_of(
    in_force: InForce,
    story: Story,
    authority: CertificateAuthority,
    proxy: IStreamServerEndpoint,
    reverse: IStreamServerEndpoint | None,
    *,
    adopters: list[Adopt],
    recorder: Recorder,
    reactor: Any,
) -> dict[str, AgentPort]:
    """What agents come to at these endpoints, by name, and what revoking a subject ends there.

    What can be replaced with the configuration goes to ``adopters``.
    """
    ports: dict[str, AgentPort] = {}
    ports["proxy"] = _proxy(
        in_force, story, authority, proxy, adopters=adopters, recorder=recorder, reactor=reactor
    )
    if reverse is not None:
        ports["reverse"] = _reverse(
            in_force, story, reverse, adopters=adopters, recorder=recorder, reactor=reactor
        )
    story.revocations.ends["tunnels"] = ends_in(list(ports.values()))
    return ports


def _proxy(
    in_force: InForce,
    story: Story,
    authority: CertificateAuthority,
    endpoint: IStreamServerEndpoint,
    *,
    adopters: list[Adopt],
    recorder: Recorder,
    reactor: Any,
) -> HttpProxyListener:
    """The proxy's port at ``endpoint``.

    Its certificate, if it has one, is replaced with the configuration.
    """
    tls, certificate = None, in_force.certificate
    if certificate is not None:
        port = PortTls(certificate)
        adopters.append(lambda new: port.adopt(new.certificate))
        tls = port.connection
    bounds = in_force.configuration.settings.limits.bounds
    proxy = HttpProxyListener(
        story.gateway,
        authority,
        endpoint,
        reactor,
        story.pages.plain,
        limits=bounds.share(story.workers),
        note=partial(recorder.note, "connections.dropped"),
        tls=tls,
    )
    proxy.adopt(in_force.http2)
    adopters.append(lambda new: proxy.adopt(new.http2))
    return proxy


def _reverse(
    in_force: InForce,
    story: Story,
    endpoint: IStreamServerEndpoint,
    *,
    adopters: list[Adopt],
    recorder: Recorder,
    reactor: Any,
) -> ReverseListener:
    """The port of the gateway's own hosts, at ``endpoint``.

    Its certificate, and what its hosts stand for, are replaced with the configuration.
    """
    settings = in_force.configuration.settings
    assert settings.listen.reverse is not None  # noqa: S101 (composed wrongly: a bug)
    assert in_force.reverse is not None  # noqa: S101 (it would not be in force)
    hosts, port = OwnHosts(settings.listen.reverse.hosts), PortTls(in_force.reverse)

    def adopt(new: InForce) -> None:
        port.adopt(new.reverse)
        hosts.adopt(getattr(new.configuration.settings.listen.reverse, "hosts", {}))

    adopters.append(adopt)
    return ReverseListener(
        story.gateway,
        hosts,
        endpoint,
        reactor,
        port.connection,
        limits=settings.limits.bounds.share(story.workers),
        note=partial(recorder.note, "connections.dropped"),
    )
