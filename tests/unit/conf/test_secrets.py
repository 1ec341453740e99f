import io
import sys

import pytest

from conf import secrets
from conf.schema import ConfigError, check_address
from sweeps.tracking import store


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret of another test is known, and none in the environment."""
    monkeypatch.setattr(secrets, "_known", set())
    for name in (secrets.STORE, *secrets.IN_ENVIRONMENT):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize(
    ("address", "public"),
    [
        ("http://bob:geheim@host:5000", "http://bob@host:5000"),
        ("https://:geheim@host/x.npz", "https://@host/x.npz"),
        ("postgresql+psycopg2://me:geheim@host/db", "postgresql+psycopg2://me@host/db"),
        ("postgresql://u:ge/heim@h/db", "postgresql://u@h/db"),
        ("postgresql://u:ge?heim@h/db", "postgresql://u@h/db"),
        ("postgresql://u:123/geheim@h/db", "postgresql://u@h/db"),
        ("postgresql://u:ge@heim@h/db", "postgresql://u@h/db"),
        ("postgresql://u@corp:geheim@h/db", "postgresql://u@corp@h/db"),
        ("postgresql://u:ge%40heim@h/db?sslmode=require", "postgresql://u@h/db?sslmode=require"),
        ("postgresql://h/db?user=u&password=geheim", "postgresql://h/db?user=u"),
        ("postgresql://h/db?password=ge@heim", "postgresql://h/db"),
        ("postgresql://h/db?p%61ssword=geheim&sslkey=/k", "postgresql://h/db?sslkey=/k"),
        ("postgresql://u@h/db?sslpassword=geheim&x=1", "postgresql://u@h/db?x=1"),
        ("mssql+pyodbc:///?odbc_connect=DRIVER%3Dx%3BPWD%3Dgeheim", "mssql+pyodbc:///"),
        ("https://h/x.npz?token=geheim&v=2", "https://h/x.npz?v=2"),
        ("https://h/x.npz?X-Amz-Signature=geheim", "https://h/x.npz"),
        ("https://h/x.npz?a=1;password=ge;heim&v=2", "https://h/x.npz?a=1&v=2"),
        ("https://h/x.npz#access_token=geheim", "https://h/x.npz"),
        ("https://h/x.npz?v=2#token=geheim", "https://h/x.npz?v=2"),
        ("https://h/x?authorization=geheim&jwt=geheim&private_key=geheim&sas=geheim&auth-key=geheim", "https://h/x"),
        ("http://u:ge/heim@h", "http://u@h"),
        ("postgresql://u:${oc.env:PW}@h/db", "postgresql://u:${oc.env:PW}@h/db"),
        ("postgresql://u:${oc.env:PW,geheim}@h/db", "postgresql://u:${oc.env:PW}@h/db"),
        ("postgresql://u:geheim${oc.env:PW}@h/db", "postgresql://u@h/db"),
        ("postgresql://h/db?password=${oc.env:PW,geheim}", "postgresql://h/db?password=${oc.env:PW}"),
        ("${oc.env:STORE}", "${oc.env:STORE}"),
        ("${oc.env:STORE,http://u:geheim@h}", "${oc.env:STORE,http://u@h}"),
        # Nothing secret.
        ("http://host:5000/a@b", "http://host:5000/a@b"),
        ("http://bob@host:5000/a@b", "http://bob@host:5000/a@b"),
        ("https://host/pkg@1.2/x.npz?a=b@c", "https://host/pkg@1.2/x.npz?a=b@c"),
        ("http://[::1]:5000/a@b", "http://[::1]:5000/a@b"),
        ("postgresql://me@host:5432/db", "postgresql://me@host:5432/db"),
        ("sqlite:////a/b.db", "sqlite:////a/b.db"),
        ("https://host/a;b=1?c=2#d", "https://host/a;b=1?c=2#d"),
        ("tcp://host:8786", "tcp://host:8786"),
        ("not an address", "not an address"),
        ("", ""),
    ],
)
def test_an_address_is_shown_without_its_secrets(address: str, public: str) -> None:
    assert secrets.public(address) == public
    assert secrets.public(public) == public
    assert secrets.hidden(f"cannot open {address} now") == f"cannot open {public} now"


@pytest.mark.parametrize("address", ["u:geheim@host/db", "//u:geheim@host/db"])
def test_an_address_without_its_scheme_is_refused_without_its_password(address: str) -> None:
    assert secrets.public(address) == address.replace(":geheim", "")
    with pytest.raises(ConfigError, match=rf"^tracking\.uri={address.replace(':geheim', '')}: must be sqlite"):
        store.uri(address)


@pytest.mark.parametrize(
    "address",
    ["http://u:a@b@h", "http://u:a/b@h", "https://u:a?b@h/x", "https://u:a#b@h/x", "postgresql://u:ab@cd@h/db"],
)
def test_a_password_whose_end_cannot_be_known_is_refused(address: str) -> None:
    assert not secrets.is_clear(address)
    with pytest.raises(ConfigError, match=r"^tracking\.uri=\w+://u@h.*: in a user name, .* @ is written as %40, / as"):
        check_address("tracking.uri", address)


@pytest.mark.parametrize(
    "address", ["http://u:a%40b@h", "postgresql://u:a/b@h/db", "sqlite:////a@b.db", "http://h/a@b"]
)
def test_a_password_that_is_read_in_one_way_is_taken(address: str) -> None:
    check_address("tracking.uri", address)


def test_what_a_library_quotes_of_a_known_address_is_hidden() -> None:
    secrets.remember("postgresql://u:ge%2Fheim@h/db?sslpassword=leise")
    text = "could not connect: host 'ge/heim@h', password=ge%2Fheim, ssl (leise), geheim"
    assert secrets.hidden(text) == "could not connect: host '***@h', password=***, ssl (***), geheim"


@pytest.mark.parametrize("address", ["http://bob@host", "postgresql://u@h/db", "postgresql://h/db?user=u"])
def test_the_password_of_the_same_address_in_the_environment_is_used(
    address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = address.replace("@", ":geheim@") if "@" in address else f"{address}&password=geheim"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", full)
    assert secrets.completed(address) == full
    assert secrets.completed(full.replace("geheim", "other")) == full.replace("geheim", "other")
    assert secrets.completed("postgresql://another@h/db") == "postgresql://another@h/db"
    assert secrets.hidden("geheim") == "***"


def test_a_user_without_a_password_does_not_stand_before_mlflows_own_variables() -> None:
    assert secrets.completed("http://bob@host:5000/a@b") == "http://host:5000/a@b"
    assert secrets.completed("postgresql://bob@host/db") == "postgresql://bob@host/db"


@pytest.mark.parametrize(
    ("address", "ways"),
    [
        ("http://bob@h", "MLFLOW_TRACKING_URI=http://bob:…@h, or in MLFLOW_TRACKING_USERNAME and "),
        ("postgresql://h/db", "MLFLOW_TRACKING_URI=postgresql://user:…@h/db, or in PGPASSWORD, or in ~/.pgpass"),
        ("mysql+pymysql://u:pw@h/db", "MLFLOW_TRACKING_URI=mysql+pymysql://u:…@h/db"),
    ],
)
def test_the_places_for_a_password_are_named(address: str, ways: str) -> None:
    assert ways in secrets.ways(address)


def test_nothing_that_is_printed_holds_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    out, err = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setattr(sys, "stderr", err)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "leise")
    secrets.hide_in_output()
    print("http://u:geheim@h", "leise", end="")
    assert out.getvalue() == "http://u@h ***"
    try:
        raise ValueError("http://u:geheim@h says leise")
    except ValueError:
        sys.excepthook(*sys.exc_info())  # type: ignore[arg-type]
    assert "ValueError: http://u@h says ***" in err.getvalue()
