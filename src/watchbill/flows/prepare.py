"""An installation is made ready: database, catalogue of controls, the first administrator's link."""

from __future__ import annotations

from watchbill.core.clock import Clock
from watchbill.core.config import Config
from watchbill.core.paths import DataDir
from watchbill.engine.catalog import Catalog
from watchbill.state import migrate, setup

FRAMEWORK = "iso27001_2022"


def prepare(data: DataDir, config: Config, clock: Clock) -> None:
    """Create or migrate. Calling it again changes nothing but the one-time link, while there is no administrator."""
    setup(data)
    migrate()
    sync_controls(Catalog.load("watchbill.content"), clock)
    offer_first_administrator(data, config, clock)
    publish_tokens(data)


def publish_tokens(data: DataDir) -> None:
    """Give the receiving process the tokens as the state of record has them, if there ever were any."""
    from watchbill.state.receivers import queries

    if queries.tokens():
        from watchbill.flows.receivers import publish

        publish(data)


def sync_controls(catalog: Catalog, clock: Clock) -> None:
    """Bring the catalogue of controls to what this version ships."""
    import msgspec

    from watchbill.state.controls import actions

    framework = catalog.framework(FRAMEWORK)
    actions.sync_framework(framework.id, [msgspec.to_builtins(control) for control in framework.controls], clock.now())


def offer_first_administrator(data: DataDir, config: Config, clock: Clock) -> None:
    """While nobody can administer, leave a one-time link where only this machine's owner can read it."""
    from watchbill.state.accounts import actions, queries

    link = data.run / "setup-link"
    if queries.has_administrator():
        link.unlink(missing_ok=True)
        return
    secret = actions.make_setup_link(at=clock.now())
    link.touch(mode=0o600)
    link.write_text(f"{config.console.url}/setup/{secret}/\n")
