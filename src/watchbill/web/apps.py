"""The console as a Django app: its templates come before allauth's."""

from __future__ import annotations

from django.apps import AppConfig


class WebConfig(AppConfig):
    name = "watchbill.web"
    label = "web"
