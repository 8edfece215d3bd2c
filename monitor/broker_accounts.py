"""Who may do what on the broker: one account for each gateway and for the monitor, from the configuration alone.

A gateway may publish under its own prefix and nothing else; so what a building's gateway is taught to say cannot be
said by another one. Whoever is not named here may nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from monitor.errors import InputError
from monitor.registry import Registry
from monitor.settings import BrokerSettings, Settings, SourceSettings

__all__ = ["Account", "accounts_of", "native_topics"]

_SPARKPLUG = "sparkplug_b"
_SPARKPLUG_TYPE_LEVEL = 2
"""Level of `NDATA` and the like behind the namespace and the group, counted from the namespace."""
DEFAULT_USER = "monitor"


@dataclass(frozen=True, slots=True)
class Account:
    """One user of the broker. Topics are filters, as access lists have them."""

    user: str
    publish: tuple[str, ...] = ()
    read: tuple[str, ...] = ()


def accounts_of(settings: Settings, registry: Registry, broker: BrokerSettings) -> tuple[Account, ...]:
    """The monitor first, then native gateways and sources by name. Raises InputError where a name cannot be used."""
    sources = [source for source in settings.sources if source.broker in (None, broker.name)]
    names = {source.name for source in settings.sources}
    gateways = sorted({device.gateway for device in registry.devices if device.gateway} - names)
    accounts = [_monitor(broker, sources)]
    accounts += [
        Account(gateway, tuple(native_topics(topic, gateway) for topic in broker.topics))
        for gateway in gateways
        if broker.topics
    ]
    for source in sorted(sources, key=lambda each: each.name):
        read = tuple(_commands(source.topics)) if source.format == _SPARKPLUG else ()
        accounts.append(Account(source.name, source.topics, read))
    for account in accounts:
        _check(account.user, is_level=account.user in gateways)
    users = [account.user for account in accounts]
    twice = sorted({user for user in users if users.count(user) > 1})
    if twice:
        raise InputError(f"{', '.join(twice)}: two accounts would have this name; rename a gateway or a source")
    return tuple(accounts)


def _monitor(broker: BrokerSettings, sources: Sequence[SourceSettings]) -> Account:
    """Reads all that it subscribes to; publishes only what it asks Sparkplug nodes for."""
    of_sources = [topic for source in sources for topic in source.topics]
    nodes = [topic for source in sources if source.format == _SPARKPLUG for topic in source.topics]
    publish = dict.fromkeys(topic for topic in _commands(nodes) if "/NCMD/" in topic)
    return Account(broker.username or DEFAULT_USER, tuple(publish), tuple(dict.fromkeys((*broker.topics, *of_sources))))


def native_topics(topic_filter: str, gateway: str) -> str:
    """The part of a filter of native messages (…/<gateway>/<device>) that one gateway may publish to."""
    levels = topic_filter.split("/")
    if levels[-1] == "#":
        return "/".join([*levels[:-1], gateway, "#"])
    if len(levels) > 1 and levels[-2] == "+":
        return "/".join([*levels[:-2], gateway, levels[-1]])
    return topic_filter


def _commands(topics: Sequence[str]) -> Iterator[str]:
    """The topics on which nodes behind these filters are spoken to."""
    for topic in topics:
        levels = topic.split("/")
        if "#" in levels[:_SPARKPLUG_TYPE_LEVEL]:
            namespace, group = (levels[0] if levels[0] != "#" else "spBv1.0"), "+"
        else:
            namespace, group = levels[0], levels[1] if len(levels) > 1 else "+"
        yield f"{namespace}/{group}/NCMD/#"
        yield f"{namespace}/{group}/DCMD/#"


def _check(user: str, *, is_level: bool) -> None:
    if not user.isprintable() or ":" in user or user != user.strip():
        raise InputError(
            f"{user!r}: no name for a user of the broker (no `:`, no control character, no blank at its ends)"
        )
    if is_level and set(user) & set("+#/"):
        raise InputError(f"{user!r}: no level of a topic (no `+`, `#` or `/`); rename the gateway in devices.csv")
