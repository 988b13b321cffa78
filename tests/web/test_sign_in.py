"""The entrance: who guesses is slowed down, and a second factor that is set up is asked for."""

from __future__ import annotations

import pytest
from company import PASSWORD, PEOPLE
from django.core.cache import cache
from django.test import Client

from watchbill.core.values import Role

LOGIN = "/account/login/"


@pytest.fixture(autouse=True)
def fresh_limits():
    cache.clear()
    yield
    cache.clear()


def sign_in(client: Client, password: str):
    return client.post(LOGIN, {"login": PEOPLE[Role.ANALYST], "password": password})


def test_the_right_password_opens(console, settings):
    """Who signs in is led to the overview, by a cookie that no script can read, and the trail says so."""
    from watchbill.state.trail import queries
    from watchbill.state.trail.values import TrailFilter

    client = Client()
    answer = sign_in(client, PASSWORD)
    assert (answer.status_code, answer["Location"]) == (302, "/")
    cookie = client.cookies[settings.SESSION_COOKIE_NAME]
    assert (bool(cookie["httponly"]), cookie["samesite"]) == (True, "Lax")
    assert client.get("/").status_code == 200
    assert queries.entries(TrailFilter(action="sign_in", limit=1))[0].actor == PEOPLE[Role.ANALYST]


def test_guessing_is_slowed_down(console):
    """After a few wrong passwords even the right one has to wait; each failure is on the trail, without the password."""
    from watchbill.state.trail import queries
    from watchbill.state.trail.values import TrailFilter

    client = Client()
    for number in range(5):
        answer = sign_in(client, f"wrong-{number}")
        assert answer.status_code == 200
    assert sign_in(client, PASSWORD).status_code in {200, 429}
    assert client.get("/").status_code == 302
    failures = queries.entries(TrailFilter(action="sign_in.failed"))
    assert len(failures) >= 5
    assert "wrong-" not in repr(failures)


def test_a_second_factor_is_asked_for(console):
    """A password alone does not open an account with TOTP; the code of this moment does, once."""
    from allauth.mfa.totp.internal import auth
    from django.contrib.auth import get_user_model

    user = get_user_model().objects.get(email=PEOPLE[Role.ANALYST])
    secret = auth.generate_totp_secret()
    auth.TOTP.activate(user, secret)
    client = Client()
    answer = sign_in(client, PASSWORD)
    assert "2fa" in answer["Location"]
    assert client.get("/").status_code == 302
    assert client.post(answer["Location"], {"code": "000000"}).status_code == 200
    code = auth.format_hotp_value(auth.hotp_value(secret, next(auth.yield_hotp_counters_from_time())))
    client.post(answer["Location"], {"code": code})
    assert client.get("/").status_code == 200
