"""allauth's hooks: no open sign-up, every sign-in on the trail, second factors sealed at rest.

https://docs.allauth.org/en/latest/account/adapter.html and …/mfa/adapter.html
"""

from __future__ import annotations

import time
from typing import Any

from allauth.account.adapter import DefaultAccountAdapter
from allauth.mfa.adapter import DefaultMFAAdapter
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest

from watchbill.state import secrets
from watchbill.state.accounts import actions


class AccountAdapter(DefaultAccountAdapter):
    def is_open_for_signup(self, request: HttpRequest) -> bool:  # noqa: ARG002 (allauth's signature)
        """People come in by a setup link."""
        return False

    def login(self, request: HttpRequest, user: AbstractBaseUser) -> None:
        super().login(request, user)
        actions.signed_in(user.get_username(), ip=self.get_client_ip(request), at=time.time_ns())

    def logout(self, request: HttpRequest) -> None:
        email = getattr(request.user, "email", "")
        super().logout(request)
        if email:
            actions.signed_out(email, ip=self.get_client_ip(request), at=time.time_ns())

    def authentication_failed(self, request: HttpRequest, **credentials: Any) -> None:
        super().authentication_failed(request, **credentials)
        email = str(credentials.get("email") or credentials.get("username") or "")
        actions.sign_in_failed(email, ip=self.get_client_ip(request), at=time.time_ns())


class MFAAdapter(DefaultMFAAdapter):
    def encrypt(self, text: str) -> str:
        return secrets.seal(text)

    def decrypt(self, encrypted_text: str) -> str:
        return secrets.unseal(encrypted_text)
