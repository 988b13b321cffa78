"""Second copies of the ledger."""

from __future__ import annotations

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render

from watchbill.core.errors import WatchbillError
from watchbill.flows import copies as flow
from watchbill.flows import installation
from watchbill.flows.ledger_state import states
from watchbill.state.copies import actions, queries
from watchbill.web.access import actor, needs, now


class CopyForm(forms.Form):
    """A folder, or a bucket."""

    name = forms.CharField(label="Name", max_length=80)
    kind = forms.ChoiceField(label="Kind", choices=[("folder", "A folder"), ("s3", "A bucket (S3)")])
    path = forms.CharField(
        label="Folder", required=False, max_length=500, help_text="Its whole path: another disk, a mounted share."
    )
    bucket = forms.CharField(label="Bucket", required=False, max_length=100)
    below = forms.CharField(
        label="Prefix", required=False, max_length=200, help_text="What stands before all names in the bucket."
    )
    endpoint = forms.CharField(label="Endpoint", required=False, max_length=300, help_text="Empty: AWS. With https://")
    region = forms.CharField(label="Region", required=False, max_length=60)
    access_key_id = forms.CharField(label="Access key", required=False, max_length=200)
    secret_access_key = forms.CharField(
        label="Its secret", required=False, max_length=300, strip=False,
        widget=forms.PasswordInput(attrs={"autocomplete": "new-password"}), help_text="Sealed, and never shown again.",
    )  # fmt: skip

    @property
    def config(self) -> dict[str, str]:
        """The settings of the chosen kind."""
        said = self.cleaned_data
        if said["kind"] == "folder":
            return {"path": said["path"]}
        names = ("bucket", "endpoint", "region", "access_key_id", "secret_access_key")
        return {"prefix": said["below"], **{name: said[name] for name in names}}


@needs("copies.read")
def listing(request: HttpRequest) -> HttpResponse:
    """Where the ledger is copied to, and how far each copy has come."""
    heads = {str(state.number): state.head for state in states()}
    rows = [
        (one, [(shard, upto, heads.get(shard, upto) - upto) for shard, upto in sorted(one.upto.items())])
        for one in queries.copies()
    ]
    return render(request, "copies/list.html", {"rows": rows})


@needs("copies.write", "GET", "HEAD", "POST")
def add(request: HttpRequest) -> HttpResponse:
    form = CopyForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        said = form.cleaned_data
        try:
            flow.add(installation.data(), said["name"], said["kind"], form.config, by=actor(request).email, at=now())
        except WatchbillError as error:
            form.add_error(None, str(error))
        else:
            messages.success(request, f"{said['name']} is added and answers: the worker copies to it within seconds.")
            return redirect("copies")
    return render(request, "copies/form.html", {"form": form}, status=400 if form.errors else 200)


@needs("copies.write", "POST")
def remove(request: HttpRequest) -> HttpResponse:
    name = request.POST.get("name", "")
    actions.remove_copy(name, by=actor(request).email, at=now())
    messages.success(request, f"{name} is removed; what lies there stays.")
    return redirect("copies")
