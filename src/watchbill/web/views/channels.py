"""Where notifications go, and whether they arrived."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from watchbill.core.values import Severity
from watchbill.flows import installation
from watchbill.sdk import Field, Notifier
from watchbill.state.alerts import actions, queries
from watchbill.web.access import actor, needs, now

_SECRET_KEPT = "…"  # noqa: S105 - what stands for a secret that is set


class ChannelForm(forms.Form):
    """A channel's form, made from its notifier's fields. A secret that is set is never sent back to the browser."""

    name = forms.CharField(label="Name", max_length=80, help_text="How people here call it.")
    min_severity = forms.ChoiceField(
        label="Tell from severity", choices=[(one.value, one.value) for one in reversed(Severity)], initial="high"
    )
    enabled = forms.BooleanField(label="Enabled", required=False, initial=True)

    def __init__(
        self,
        notifier: Notifier,
        config: Mapping[str, str],
        data: object = None,
        initial: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(data, initial=dict(initial or {}))  # type: ignore[arg-type]  # a QueryDict or None
        self.notifier = notifier
        for one in notifier.config:
            self.fields[f"config.{one.name}"] = _field(one, config.get(one.name))

    @property
    def config(self) -> dict[str, str]:
        """What was filled in; a secret left empty stays as it was."""
        found = {}
        for one in self.notifier.config:
            value = self.cleaned_data[f"config.{one.name}"]
            found[one.name] = (
                ("true" if value else "false") if one.kind == "flag" else str(value if value is not None else "")
            )
        return found

    @property
    def secrets(self) -> tuple[str, ...]:
        return tuple(one.name for one in self.notifier.config if one.kind == "secret")


def _field(one: Field, value: str | None) -> forms.Field:
    said: dict[str, Any] = {
        "label": one.label,
        "required": one.required,
        "help_text": one.help,
        "initial": one.default if value is None else value,
    }
    match one.kind:
        case "secret":
            kept = value == _SECRET_KEPT
            widget = forms.PasswordInput(
                attrs={"autocomplete": "new-password", "placeholder": "set; leave empty to keep it" if kept else ""}
            )
            return forms.CharField(
                **said | {"widget": widget, "required": one.required and not kept, "strip": False, "initial": ""}
            )
        case "number":
            return forms.IntegerField(**said)
        case "url":
            return forms.URLField(**said, assume_scheme="https")
        case "email":
            return forms.EmailField(**said)
        case "choice":
            return forms.ChoiceField(**said, choices=[(choice, choice) for choice in one.choices])
        case "flag":
            return forms.BooleanField(**said | {"required": False, "initial": said["initial"] in {"true", "yes", "1"}})
    return forms.CharField(**said)


@needs("channels.read")
def listing(request: HttpRequest) -> HttpResponse:
    notifiers = installation.catalog().notifiers
    return render(
        request,
        "channels/list.html",
        {"channels": queries.channels(), "notifiers": notifiers, "deliveries": queries.deliveries(limit=50)},
    )


@needs("channels.write", "GET", "HEAD", "POST")
def create(request: HttpRequest, kind: str) -> HttpResponse:
    form = ChannelForm(installation.catalog().notifier(kind), {}, request.POST or None)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        actions.create_channel(
            kind, values["name"], form.config, secret=form.secrets, min_severity=Severity(values["min_severity"]),
            by=actor(request).email, at=now(), enabled=values["enabled"],
        )  # fmt: skip
        messages.success(request, f"{values['name']} is there. Send a test to see that it reaches you.")
        return redirect("channels")
    return render(
        request,
        "channels/form.html",
        {"form": form, "title": f"New channel: {form.notifier.title}"},
        status=400 if form.errors else 200,
    )


@needs("channels.write", "GET", "HEAD", "POST")
def edit(request: HttpRequest, channel_id: int) -> HttpResponse:
    channel = queries.channel(channel_id)
    shown = channel.config | dict.fromkeys(channel.secrets, _SECRET_KEPT)
    initial = {"name": channel.name, "min_severity": channel.min_severity.value, "enabled": channel.enabled}
    form = ChannelForm(installation.catalog().notifier(channel.kind), shown, request.POST or None, initial)
    if request.method == "POST" and form.is_valid():
        values = form.cleaned_data
        actions.change_channel(
            channel_id, by=actor(request).email, at=now(), name=values["name"], config=form.config, secret=form.secrets,
            min_severity=Severity(values["min_severity"]), enabled=values["enabled"],
        )  # fmt: skip
        messages.success(request, f"{values['name']} is saved.")
        return redirect("channels")
    context = {"form": form, "title": channel.name, "channel": channel}
    return render(request, "channels/form.html", context, status=400 if form.errors else 200)


@needs("channels.write", "POST")
def test(request: HttpRequest, channel_id: int) -> HttpResponse:
    """Queue a test message; its delivery stands in the list below within seconds."""
    actions.send_test(channel_id, by=actor(request).email, at=now())
    messages.success(request, "A test is on its way: its delivery shows below within seconds.")
    return redirect("channels")


@needs("channels.write", "POST")
def remove(request: HttpRequest, channel_id: int) -> HttpResponse:
    name = queries.channel(channel_id).name
    actions.remove_channel(channel_id, by=actor(request).email, at=now())
    messages.success(request, f"{name} is removed; its deliveries stay on record.")
    return redirect("channels")


@needs("channels.write", "POST")
def retry(request: HttpRequest, delivery_id: int) -> HttpResponse:
    actions.retry_delivery(delivery_id, by=actor(request).email, at=now())
    messages.success(request, "It is being tried again.")
    return redirect("channels")
