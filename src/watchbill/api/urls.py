"""Where the API answers; the console's URL configuration puts it under /api/v1/."""

from __future__ import annotations

from watchbill.api.root import build

api = build()
urlpatterns = api.urls[0]
app_name = api.urls_namespace
