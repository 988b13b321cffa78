"""Every address of the console. What each needs is said by its view (``view.needs``)."""

from __future__ import annotations

from allauth.account import views as sign_in
from django.urls import include, path, register_converter

from watchbill.web.views import (
    account,
    alert_actions,
    alerts,
    assets,
    channels,
    controls,
    copies,
    errors,
    events,
    ledger,
    live,
    overview,
    people,
    receivers,
    retention,
    rules,
    sources,
    suppressions,
    trail,
)


class Digits:
    """A number that fits a database's key and a ledger's position."""

    regex = "[0-9]{1,18}"

    def to_python(self, value: str) -> int:
        return int(value)

    def to_url(self, value: int) -> str:
        return str(value)


class AlertStep(Digits):
    regex = "acknowledge|unacknowledge|investigate|reopen"

    def to_python(self, value: str) -> str:  # type: ignore[override]  # a word, not a number
        return value


class BulkStep(AlertStep):
    regex = "acknowledge|unacknowledge|resolve"


class FileForm(AlertStep):
    regex = "csv|json"


for name, converter in (("digits", Digits), ("step", AlertStep), ("bulk", BulkStep), ("form", FileForm)):
    register_converter(converter, name)

#: Of allauth only what an installation needs whose people are invited: nobody signs up or resets a password by mail.
_SIGN_IN = [
    path("login/", sign_in.login, name="account_login"),
    path("logout/", sign_in.logout, name="account_logout"),
    path("inactive/", sign_in.account_inactive, name="account_inactive"),
    path("signup/", sign_in.signup, name="account_signup"),
    path("reauthenticate/", sign_in.reauthenticate, name="account_reauthenticate"),
    path("password/change/", sign_in.password_change, name="account_change_password"),
]

urlpatterns = [
    path("", overview.overview, name="overview"),
    path("alerts", alerts.listing, name="alerts"),
    path("alerts/bulk/<bulk:name>", alert_actions.bulk, name="alerts-bulk"),
    path("alerts/<str:alert_id>", alerts.detail, name="alert"),
    path("alerts/<str:alert_id>/resolve", alert_actions.resolve, name="alert-resolve"),
    path("alerts/<str:alert_id>/comment", alert_actions.comment, name="alert-comment"),
    path("alerts/<str:alert_id>/assign", alert_actions.assign, name="alert-assign"),
    path("alerts/<str:alert_id>/<step:name>", alert_actions.step, name="alert-step"),
    path("suppressions", suppressions.listing, name="suppressions"),
    path("suppressions/new", suppressions.create, name="suppression-new"),
    path("suppressions/<str:suppression_id>", suppressions.detail, name="suppression"),
    path("suppressions/<str:suppression_id>/end", suppressions.end, name="suppression-end"),
    path("events", events.listing, name="events"),
    path("events/export.<form:form>", events.export, name="events-export"),
    path("events/<digits:shard>-<digits:position>", events.detail, name="event"),
    path("events/<digits:shard>-<digits:position>/raw", events.raw, name="event-raw"),
    path("assets", assets.listing, name="assets"),
    path("assets/<path:name>/edit", assets.edit, name="asset-edit"),
    path("assets/<path:name>", assets.detail, name="asset"),
    path("sources", sources.listing, name="sources"),
    path("sources/<str:source_id>", sources.detail, name="source"),
    path("sources/<str:source_id>/edit", sources.edit, name="source-edit"),
    path("controls", controls.listing, name="controls"),
    path("controls/<str:control_id>", controls.detail, name="control"),
    path("controls/<str:control_id>/attest", controls.attest, name="control-attest"),
    path("controls/<str:control_id>/edit", controls.edit, name="control-edit"),
    path(
        "controls/<str:control_id>/attestations/<digits:attestation_id>/withdraw",
        controls.withdraw,
        name="control-withdraw",
    ),
    path("rules", rules.listing, name="rules"),
    path("rules/<str:name>", rules.detail, name="rule"),
    path("ledger", ledger.ledger, name="ledger"),
    path("ledger/verify", ledger.verify, name="ledger-verify"),
    path("ledger/export", ledger.export, name="ledger-export"),
    path("ledger/exports", ledger.export_list, name="ledger-exports"),
    path("ledger/exports/<slug:export_id>/file", ledger.export_file, name="ledger-export-file"),
    path("ledger/exports/<slug:export_id>/remove", ledger.export_remove, name="ledger-export-remove"),
    path("ledger/prove", ledger.prove, name="ledger-prove"),
    path("ledger/<digits:shard>/<path:tile>", ledger.published, name="ledger-published"),
    path("retention", retention.listing, name="retention"),
    path("retention/policy", retention.policy, name="retention-policy"),
    path("retention/policy/remove", retention.remove_policy, name="retention-policy-remove"),
    path("retention/hold", retention.hold, name="retention-hold"),
    path("retention/holds/<str:hold_id>/release", retention.release, name="retention-release"),
    path("erasures", retention.erasures, name="erasures"),
    path("erasures/new", retention.propose, name="erasure-new"),
    path("erasures/<str:erasure_id>/approve", retention.approve, name="erasure-approve"),
    path("erasures/<str:erasure_id>/reject", retention.reject, name="erasure-reject"),
    path("copies", copies.listing, name="copies"),
    path("copies/new", copies.add, name="copy-new"),
    path("copies/remove", copies.remove, name="copy-remove"),
    path("trail", trail.listing, name="trail"),
    path("channels", channels.listing, name="channels"),
    path("channels/new/<str:kind>", channels.create, name="channel-new"),
    path("channels/<digits:channel_id>", channels.edit, name="channel"),
    path("channels/<digits:channel_id>/test", channels.test, name="channel-test"),
    path("channels/<digits:channel_id>/remove", channels.remove, name="channel-remove"),
    path("channels/deliveries/<digits:delivery_id>/retry", channels.retry, name="delivery-retry"),
    path("receivers", receivers.listing, name="receivers"),
    path("receivers/tokens", receivers.issue_token, name="receiver-token-issue"),
    path("receivers/tokens/<digits:token_id>/revoke", receivers.revoke_token, name="receiver-token-revoke"),
    path("people", people.listing, name="people"),
    path("people/invite", people.invite, name="people-invite"),
    path("people/tokens/<digits:token_id>/revoke", people.revoke_token, name="people-token-revoke"),
    path("people/<str:email>/role", people.set_role, name="people-role"),
    path("people/<str:email>/active", people.set_active, name="people-active"),
    path("account", account.account, name="account"),
    path("account/tokens", account.issue_token, name="token-issue"),
    path("account/tokens/<digits:token_id>/revoke", account.revoke_token, name="token-revoke"),
    path("theme", account.theme, name="theme"),
    path("setup/<str:secret>/", account.setup, name="setup"),
    path("live", live.live, name="live"),
    path("api/v1/", include("watchbill.api.urls")),
    path("account/", include(_SIGN_IN)),
    path("account/2fa/", include("allauth.mfa.urls")),
]

handler400 = errors.bad_request
handler403 = errors.forbidden
handler404 = errors.not_found
handler500 = errors.server_error
