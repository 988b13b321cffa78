"""Users, API tokens and one-time links."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.db import models

from watchbill.core.values import Role

_ROLES = [(role.value, role.value) for role in Role]


class Users(BaseUserManager["User"]):
    def get_by_natural_key(self, username: str | None) -> User:
        return self.get(email__iexact=username)


class User(AbstractBaseUser):
    """A person. ``role`` decides everything; Django's own groups and permissions are not used."""

    email = models.EmailField(unique=True)
    name = models.CharField(max_length=150, blank=True)
    role = models.CharField(max_length=16, choices=_ROLES, default=Role.VIEWER)
    is_active = models.BooleanField(default=True)
    created_at = models.BigIntegerField()

    objects: ClassVar[Users] = Users()

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    REQUIRED_FIELDS: ClassVar[list[str]] = []

    def __str__(self) -> str:
        return self.email

    def get_full_name(self) -> str:
        return self.name or self.email


class ApiToken(models.Model):
    user = models.ForeignKey(User, on_delete=models.CASCADE, related_name="tokens")
    name = models.CharField(max_length=100)
    prefix = models.CharField(max_length=16)
    digest = models.CharField(max_length=64, unique=True)
    role = models.CharField(max_length=16, choices=_ROLES)
    created_at = models.BigIntegerField()
    expires_at = models.BigIntegerField(null=True)
    last_used_at = models.BigIntegerField(null=True)
    revoked_at = models.BigIntegerField(null=True)

    def __str__(self) -> str:
        return f"{self.prefix}… ({self.name})"


class SetupLink(models.Model):
    """A one-time invitation to become a user with this role."""

    digest = models.CharField(max_length=64, unique=True)
    role = models.CharField(max_length=16, choices=_ROLES)
    email = models.CharField(max_length=254, blank=True)
    created_by = models.CharField(max_length=254)
    created_at = models.BigIntegerField()
    expires_at = models.BigIntegerField()
    used_at = models.BigIntegerField(null=True)

    def __str__(self) -> str:
        return f"link for {self.email or 'anybody'} as {self.role}"
