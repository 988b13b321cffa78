"""The console and the API under ASGI; `watchbill web` serves this."""

from __future__ import annotations

import os

from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "watchbill.state.settings")
application = get_asgi_application()

from watchbill.flows import installation  # noqa: E402 (it needs Django as it was just set up)

installation.start_loading()
