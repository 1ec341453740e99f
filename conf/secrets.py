"""Passwords in addresses: what of an address may be written and printed, and where its password is found again.

Whoever may see the runs can read the journal, so neither it nor anything else that is written holds a password.
"""

from __future__ import annotations

import os
import re
import sys
from base64 import b64encode
from functools import partial
from typing import Any, NamedTuple, TextIO
from urllib.parse import unquote, unquote_plus

# Names of values in an address's query.
SECRET = re.compile(
    r"pass(word|wd|phrase)|pwd|secret|token|signature|credential|authorization|bearer|jwt"
    r"|(api|access|account|auth|private|shared)[-_]?key|^(pass|sig|sas|key|auth|odbc_connect)$",
    re.IGNORECASE,
)
# Hydra's interpolation of an environment variable, which may have a default.
VARIABLE = re.compile(r"\$\{oc\.env:([^{},]+)(,[^{}]*)?\}")
MASK = re.compile("\0(\\d+)\0")
ADDRESS = re.compile(r"\w[\w+.-]*://[^\s'\"<>]*[^\s'\"<>:;,.)\]]")
# Environment variables that hold a password, or an address with one.
IN_ENVIRONMENT = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "PGPASSWORD", "MYSQL_PWD")
STORE = "MLFLOW_TRACKING_URI"

_known: set[str] = set()  # the secrets of this process's addresses; messages of libraries may quote them


class Parts(NamedTuple):
    """An address without its secrets, and these."""

    public: str
    secrets: tuple[str, ...]


def public(address: str) -> str:
    """Return an address without its password and the secrets in its query; user names stay.

    A password that is an environment variable, `${oc.env:PW}`, stays too: it stands for itself.
    """
    return _parts(address).public


def hidden(text: str) -> str:
    """Return a text without the passwords of all addresses in it, and without those that this process knows."""
    if "://" in text:
        text = ADDRESS.sub(lambda match: public(match[0]), text)
    for secret in sorted(_known, key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(secret)}(?!\w)", "***", text)
    return text


def remember(address: str) -> None:
    """Keep the secrets of an address out of everything that `hidden` returns."""
    for secret in _parts(address).secrets:
        _known.update({secret, unquote(secret), unquote_plus(secret)} - {""})


def is_clear(address: str) -> bool:
    """Say whether it is certain where the password of an address ends; libraries would show a part of any other."""
    scheme, _, rest = VARIABLE.sub("", address).partition("://")
    start, end = _password(scheme, rest)
    password = rest[start:end]
    return "@" not in password and not (_is_web(scheme) and re.search("[/?#]", password))


def completed(address: str) -> str:
    """Return the address of a store with the password that the environment has for it, as MLflow takes it.

    It is that of MLFLOW_TRACKING_URI, if this is the same address. Everything else that has a password for the store is
    read by the libraries themselves; but a user alone in the address of a server would take precedence over that.
    """
    remember(address)
    if public(address) != address:
        return address
    in_environment = os.environ.get(STORE, "")
    if in_environment and public(in_environment) == address:
        address = in_environment
        remember(address)
    if _is_web(address.partition("://")[0]) and public(address) == address:
        return re.sub(r"(?<=://)[^/?#@]*@", "", address, count=1)
    return address


def for_urllib(address: str) -> tuple[str, dict[str, str]]:
    """Return an address without its user and password, which urllib does not take there, and their header."""
    scheme, _, rest = address.partition("://")
    start, end = _password(scheme, rest)
    if start == end:
        return address, {}
    login = f"{unquote(rest[: start - 1])}:{unquote(rest[start:end])}"
    return f"{scheme}://{rest[end + 1 :]}", {"Authorization": f"Basic {b64encode(login.encode()).decode()}"}


def ways(address: str) -> str:
    """Say where the password for a store can be given, without the command line and without a prompt."""
    scheme, _, rest = public(address).partition("://")
    with_password = re.sub(r"^([^/?#@]*)@", r"\1:…@", rest) if re.match("[^/?#]*@", rest) else f"user:…@{rest}"
    own = ""
    if _is_web(scheme):
        own = ", or in MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, or in ~/.mlflow/credentials"
    elif scheme.startswith("postgresql"):
        own = ", or in PGPASSWORD, or in ~/.pgpass"
    return f"the password can be given in {STORE}={scheme}://{with_password}{own}"


def hide_in_output() -> None:
    """Let this process print no secret: neither in its own messages nor in those of libraries, nor in tracebacks."""
    _known.update(os.environ[name] for name in IN_ENVIRONMENT if os.environ.get(name))
    remember(os.environ.get(STORE, ""))
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is not None and not isinstance(stream, _Output):
            setattr(sys, name, _Output(stream))


class _Output:
    """A stream without secrets."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        self._stream.write(hidden(text))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _parts(address: str) -> Parts:
    variables: list[re.Match[str]] = []

    def mask(match: re.Match[str]) -> str:
        variables.append(match)
        return f"\0{len(variables) - 1}\0"

    scheme, separator, rest = VARIABLE.sub(mask, address).partition("://")
    secrets: list[str] = []
    if separator:
        rest = _without_secrets(scheme, rest, secrets)
    elif login := re.match(r"(/*[^\s:/?#@]*):([^\s@]+)(?=@)", scheme):  # its scheme is forgotten
        secrets.append(login[2])
        scheme = login[1] + scheme[login.end() :]
    kept = re.sub(r"(?<=[:=])\0(\d+)\0(?=@|&|$)", lambda match: f"${{oc.env:{variables[int(match[1])][1]}}}", rest)
    unmasked = MASK.sub(lambda match: _variable(variables[int(match[1])], secrets), f"{scheme}{separator}{kept}")
    return Parts(unmasked, tuple(secrets))


def _variable(match: re.Match[str], secrets: list[str]) -> str:
    """Return an interpolation with its default, which may be an address."""
    default = _parts((match[2] or "").removeprefix(","))
    secrets += default.secrets
    return f"${{oc.env:{match[1]}{f',{default.public}' if match[2] else ''}}}"


def _without_secrets(scheme: str, rest: str, secrets: list[str]) -> str:
    start, end = _password(scheme, rest)
    if start < end and not MASK.fullmatch(rest[start:end]):
        secrets.append(rest[start:end])
        rest = rest[: start - 1] + rest[end:]
    place, mark, query = re.fullmatch("([^?#]*)([?#]?)(.*)", rest, re.DOTALL).groups()  # type: ignore[union-attr]
    kept = [item for item in map(partial(_without_secret, secrets=secrets), query.split("&")) if item is not None]
    return place + (mark + "&".join(kept) if kept else "")


def _without_secret(item: str, secrets: list[str]) -> str | None:
    """Return an item of a query up to its secret, which reaches to the next `&`; None if it is one from its start."""
    for part in re.finditer("(?:^|[;?#])([^;?#=]+)=", item):
        value = item[part.end() :]
        if SECRET.search(unquote_plus(part[1])) and not MASK.fullmatch(value):
            secrets.append(value)
            return item[: part.start()] if part.start() else None
    return item


def _password(scheme: str, rest: str) -> tuple[int, int]:
    """Return where the password begins and ends in an address after its `://`; the same place twice for none.

    Databases are read as SQLAlchemy does, which takes a `/` and a `?` for a part of the password. A password that holds
    an `@` ends at the last one: rather too much is hidden than a part of it shown.
    """
    user = re.match(r"(?!\[[0-9a-fA-F:.]*\])[^:/?#]*:", rest)
    if user is None or "@" not in rest[user.end() :]:
        return 0, 0
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    if _is_web(scheme) and not re.search(r":[^@]*@|:.*[^@\d]", authority):
        return 0, 0  # a port, and an @ in the path
    before_query = rest.partition("?")[0]
    end = before_query.rfind("@")
    return user.end(), end if end >= user.end() else rest.rfind("@")


def _is_web(scheme: str) -> bool:
    return scheme.lower() in ("http", "https", "tcp", "tls", "ws", "wss", "ftp")
