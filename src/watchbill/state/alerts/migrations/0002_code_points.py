"""On PostgreSQL entity values compare by code points, so that the begin of a value is a range of the index."""

from django.db import migrations


def compare_by_code_points(apps, schema_editor):
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute('ALTER TABLE alerts_entity ALTER COLUMN value TYPE varchar(255) COLLATE "C"')


class Migration(migrations.Migration):
    dependencies = [("alerts", "0001_initial")]
    operations = [migrations.RunPython(compare_by_code_points)]
