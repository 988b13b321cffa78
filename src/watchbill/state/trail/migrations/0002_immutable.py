"""The database itself refuses to change or delete trail entries; only where an entry was forwarded may be noted, once.

On PostgreSQL the action's name compares by code points, so that a family of actions ("alert.") is a range.
"""

from django.db import migrations

_SQLITE = (
    """
    CREATE TRIGGER trail_no_delete BEFORE DELETE ON trail_entry
    BEGIN SELECT RAISE(ABORT, 'trail entries are never deleted'); END
    """,
    """
    CREATE TRIGGER trail_no_update BEFORE UPDATE ON trail_entry
    WHEN OLD.id IS NOT NEW.id OR OLD.at IS NOT NEW.at OR OLD.actor IS NOT NEW.actor OR OLD.action IS NOT NEW.action
      OR OLD.kind IS NOT NEW.kind OR OLD.object_id IS NOT NEW.object_id OR OLD.detail IS NOT NEW.detail
      OR OLD.forwarded_position IS NOT NULL
    BEGIN SELECT RAISE(ABORT, 'trail entries are never changed'); END
    """,
)
_POSTGRESQL = (
    'ALTER TABLE trail_entry ALTER COLUMN action TYPE varchar(64) COLLATE "C"',
    """
    CREATE FUNCTION trail_refuse() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      IF TG_OP = 'UPDATE' AND OLD.forwarded_position IS NULL
        AND (OLD.id, OLD.at, OLD.actor, OLD.action, OLD.kind, OLD.object_id, OLD.detail)
          = (NEW.id, NEW.at, NEW.actor, NEW.action, NEW.kind, NEW.object_id, NEW.detail)
      THEN RETURN NEW; END IF;
      RAISE EXCEPTION 'trail entries are never changed or deleted' USING ERRCODE = 'integrity_constraint_violation';
    END $$
    """,
    "CREATE TRIGGER trail_immutable BEFORE UPDATE OR DELETE ON trail_entry FOR EACH ROW EXECUTE FUNCTION trail_refuse()",
    "CREATE TRIGGER trail_no_truncate BEFORE TRUNCATE ON trail_entry EXECUTE FUNCTION trail_refuse()",
)


def protect(apps, schema_editor):
    for statement in _POSTGRESQL if schema_editor.connection.vendor == "postgresql" else _SQLITE:
        schema_editor.execute(statement)


class Migration(migrations.Migration):
    dependencies = [("trail", "0001_initial")]
    operations = [migrations.RunPython(protect)]
