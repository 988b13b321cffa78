"""The state of record: Django apps. Call ``setup`` before importing any of them outside a Django process."""

from __future__ import annotations

import os

from watchbill.core.paths import DataDir


def setup(data: DataDir | None = None) -> None:
    """Make Django ready in this process, for the installation in ``data`` (default: ``DataDir.default()``).

    One process serves one installation: asking for a second one raises RuntimeError.
    """
    data = (data or DataDir.default()).create()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "watchbill.state.settings")
    from django.conf import settings

    if settings.configured and data.root != settings.DATA.root:
        raise RuntimeError(f"this process already serves {settings.DATA.root}, not {data.root}")
    os.environ["WATCHBILL_DATA"] = str(data.root)
    import django
    from django.apps import apps

    if not apps.ready:
        django.setup()


def migrate() -> None:
    """Bring the database to the shape that this version needs; does nothing when it has it already."""
    from django.conf import settings
    from django.core.management import call_command

    call_command("migrate", interactive=False, verbosity=0)
    if settings.DATA.database.exists():
        settings.DATA.database.chmod(0o600)
