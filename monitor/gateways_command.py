"""The command `gateways`: Mosquitto's access list and passwords, from the configuration."""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from monitor.broker_accounts import Account, accounts_of
from monitor.config import load_registry, load_settings
from monitor.errors import InputError
from monitor.journal.atomic import write_atomic

__all__ = ["gateways_command", "hashed"]

_ACL, _HASHES, _PASSWORDS = "acl", "passwd", "passwords.csv"
_ITERATIONS = 101
"""Mosquitto's own number. A password is 192 random bits, which no number of rounds makes safer; and after an outage all
gateways log in at once, on the broker's one thread."""
_SALT_BYTES, _KEY_BYTES, _PASSWORD_BYTES = 12, 64, 24
_SECRET_MODE = 0o600


def gateways_command(config: Path, out: Path, *, broker_name: str | None, env: Mapping[str, str], now_ms: int) -> None:
    """Writes acl, passwd and passwords.csv; users that are known keep their passwords, and the monitor has the one that
    monitor.yaml names, if it names one. Raises ConfigError and InputError."""
    settings = load_settings(config, env)
    registry, _ = load_registry(config, now_ms=now_ms, revision_horizon_h=settings.revision_horizon_h)
    brokers = {broker.name: broker for broker in settings.brokers}
    if broker_name is None and len(brokers) > 1:
        raise InputError(f"--broker: monitor.yaml has {', '.join(brokers)}; name one")
    broker = brokers.get(broker_name or settings.brokers[0].name)
    if broker is None:
        raise InputError(f"--broker: found {broker_name!r}, expected one of {', '.join(brokers)}")
    accounts = accounts_of(settings, registry, broker)
    try:
        out.mkdir(parents=True, exist_ok=True)
        known = _known(out / _PASSWORDS)
        passwords = {account.user: known.get(account.user) or _new() for account in accounts}
        if (own := broker.password(env)) is not None:
            passwords[accounts[0].user] = own.get_secret_value()
        # What is handed out comes first: a password that nobody can look up would be of no use.
        write_atomic(out / _PASSWORDS, [_table(passwords)], mode=_SECRET_MODE)
        write_atomic(out / _HASHES, [_hashes(out / _HASHES, passwords)], mode=_SECRET_MODE)
        write_atomic(out / _ACL, [access_list(accounts).encode()], mode=_SECRET_MODE)
    except OSError as error:
        raise InputError(f"{out}: cannot be written: {error.strerror}") from error
    added = [user for user in passwords if user not in known]
    gone = [user for user in known if user not in passwords]
    sys.stdout.write(f"{len(accounts)} accounts in {out}: {_counted('new', added)}, {_counted('gone', gone)}\n")


def _counted(what: str, users: Sequence[str]) -> str:
    return f"{len(users)} {what}" + (f" ({', '.join(users)})" if users else "")


def _new() -> str:
    return secrets.token_urlsafe(_PASSWORD_BYTES)


def _known(path: Path) -> dict[str, str]:
    """User → password of the run before; empty where there was none. Raises InputError for another file."""
    if not path.exists():
        return {}
    rows = list(csv.reader(io.StringIO(path.read_text("utf-8"))))
    if not rows or rows[0] != ["user", "password"] or any(len(row) != 2 or not row[1] for row in rows[1:]):
        raise InputError(f"{path}: is not what this command writes (user,password); move it away or restore it")
    return dict(rows[1:])


def _table(passwords: Mapping[str, str]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("user", "password"))
    writer.writerows(passwords.items())
    return text.getvalue().encode()


def _hashes(path: Path, passwords: Mapping[str, str]) -> bytes:
    """One line a user; those that still hold stay as they are, so that a second run changes no file."""
    before = path.read_text("utf-8").splitlines() if path.exists() else []
    kept = dict(line.split(":", 1) for line in before if ":" in line)
    lines = []
    for user, password in passwords.items():
        line = kept.get(user, "")
        if not _holds(line, password):
            line = hashed(password, secrets.token_bytes(_SALT_BYTES))
        lines.append(f"{user}:{line}\n")
    return "".join(lines).encode()


def _holds(line: str, password: str) -> bool:
    parts = line.split("$")
    if len(parts) != 5 or parts[1] != "7" or parts[2] != str(_ITERATIONS):
        return False
    try:
        return secrets.compare_digest(hashed(password, base64.b64decode(parts[3], validate=True)), line)
    except ValueError:
        return False


def hashed(password: str, salt: bytes) -> str:
    """As Mosquitto 2 keeps it: `$7$<rounds>$<salt>$<key>`, PBKDF2 with SHA-512 (mosquitto_passwd(1))."""
    key = hashlib.pbkdf2_hmac("sha512", password.encode(), salt, _ITERATIONS, _KEY_BYTES)
    return f"$7${_ITERATIONS}${base64.b64encode(salt).decode()}${base64.b64encode(key).decode()}"


def access_list(accounts: Sequence[Account]) -> str:
    """Mosquitto's acl_file: nobody may anything but what stands here (mosquitto.conf(5))."""
    parts = ["# Written by `meter-monitor gateways`; changes are lost at its next run.\n"]
    for account in accounts:
        parts.append(f"\nuser {account.user}\n")
        parts += [f"topic write {topic}\n" for topic in account.publish]
        parts += [f"topic read {topic}\n" for topic in account.read]
    return "".join(parts)
