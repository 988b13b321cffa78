"""Acts as the version before, and goes back to it: python going_back.py FOLDER, for the database that the environment names.

Rows are written by the models as they were one migration ago into the tables as they are now, and read by the models of
now: so the version before can be started again over a migrated database. Then each app's last migration is taken
back and done again, and the rows must be what they were.
"""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from itertools import count

from watchbill.core.paths import DataDir
from watchbill.state import migrate, setup

#: What keeps trail entries from being changed is not taken away by a migration.
KEPT = {"trail"}
_numbers = count(1)


def value(field, made):
    """Something that fits a field."""
    if field.is_relation:
        return None if field.null else row(field.related_model, made)
    if field.choices:
        return field.choices[0][0]
    match field.get_internal_type():
        case "CharField" | "TextField" | "EmailField" | "SlugField":
            return f"x{next(_numbers)}"[: field.max_length]
        case "BinaryField":
            return b"x"
        case "JSONField":
            return [1]
        case "DateTimeField":
            return datetime(2026, 3, next(_numbers) % 28 + 1, tzinfo=UTC)
        case "BooleanField":
            return True
        case _:
            return next(_numbers)


def row(model, made):
    """One row of a model and those that it refers to."""
    if model._meta.label not in made:
        fields = [field for field in model._meta.concrete_fields if not field.primary_key or field.is_relation]
        made[model._meta.label] = model.objects.create(
            **{field.name: value(field, made) for field in fields if not field.has_default()}
        )
    return made[model._meta.label]


def contents(apps, made):
    """All that the rows hold, by those columns that the version before knows."""
    found = {}
    for label, one in made.items():
        names = [field.attname for field in one._meta.concrete_fields]
        stored = apps.get_model(label).objects.values(*names).get(pk=one.pk)
        found[label] = {name: bytes(held) if isinstance(held, memoryview) else held for name, held in stored.items()}
    return found


def main():
    setup(DataDir(sys.argv[1]))
    migrate()
    from django.apps import apps as now
    from django.core.management import call_command
    from django.db import connection
    from django.db.migrations.loader import MigrationLoader

    loader = MigrationLoader(connection)
    ours = {config.label for config in now.get_app_configs() if config.name.startswith("watchbill.")}
    last = {app: name for app, name in loader.graph.leaf_nodes() if app in ours}
    before = {}
    for app, name in last.items():
        inside = [parent for parent in loader.graph.node_map[app, name].parents if parent.key[0] == app]
        if inside:
            before[app] = inside[0].key[1]
    nodes = [(app, before.get(app, name)) for app, name in last.items()]
    old = loader.project_state(nodes).apps
    made = {}
    for model in old.get_models():
        if model._meta.app_label in ours:
            row(model, made)
    written = contents(old, made)
    assert contents(now, made) == written, "the models of now read something else"
    for app, name in before.items():
        if app not in KEPT:
            call_command("migrate", app, name, verbosity=0)
    assert contents(old, made) == written, "going back changed rows"
    migrate()
    assert contents(now, made) == written, "going forward again changed rows"
    print(len(made), *sorted(before.keys() - KEPT))


if __name__ == "__main__":
    main()
