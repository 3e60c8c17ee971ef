"""What `init` asks key holders in a ceremony: name, passphrase, signature; a development ceremony asks nothing."""

from __future__ import annotations

from collections.abc import Callable

import click

from healthcode.cli.console import error_console
from healthcode.errors import InvalidInputError
from healthcode.signing.passphrase import MIN_PASSPHRASE_CHARACTERS, check_passphrase
from healthcode.signing.purpose import KeyPurpose
from trust_registry.cli.option import show_changes
from trust_registry.founding.ceremony import SigningStep
from trust_registry.founding.plan import KeyHolder

__all__ = ["KeyHolderPrompt", "ask_signature", "development_key_holder", "sign_without_asking"]


def development_key_holder(passphrase: str) -> Callable[[KeyPurpose, str], KeyHolder]:
    """Key holders of a development ceremony, who share one passphrase."""
    return lambda purpose, key_name: KeyHolder(purpose, key_name, key_name, passphrase.encode())


class KeyHolderPrompt:
    """Asks each key holder at the keyboard for a name and a passphrase, and remembers who was there."""

    def __init__(self) -> None:
        self._seen: set[tuple[KeyPurpose, str]] = set()

    def __call__(self, purpose: KeyPurpose, key_name: str) -> KeyHolder:
        what = "root key" if purpose is KeyPurpose.ROOT else "operator's key"
        error_console().rule(f"{key_name}: the person who will keep this {what} comes to the keyboard")
        while True:
            person = click.prompt("Your name", err=True).strip()
            if person and (purpose, person.casefold()) not in self._seen:
                break
            click.echo(f"{person} keeps another {what} already: each needs another person", err=True)
        self._seen.add((purpose, person.casefold()))
        while True:
            passphrase = click.prompt(
                f"Your passphrase, {MIN_PASSPHRASE_CHARACTERS} characters or more; tell it to nobody",
                hide_input=True,
                confirmation_prompt="The same once more",
                err=True,
            )
            try:
                check_passphrase(passphrase)
            except InvalidInputError as error:
                click.echo(error.message, err=True)
                continue
            return KeyHolder(purpose, key_name, person, passphrase.encode())


def ask_signature(step: SigningStep) -> bool:
    """Shows the changes to the first key holder and asks each; a no or an interrupt means not signed."""
    proposal, key_holder = step.proposal, step.key_holder
    if step.is_first:
        error_console().rule(f"You sign: {proposal.title}")
        show_changes(proposal.title, list(step.changes), names=step.names, digest=proposal.digest)
    document = "root.json" if key_holder.purpose is KeyPurpose.ROOT else "targets.json"
    try:
        return click.confirm(
            f"{key_holder.person} ({key_holder.key_name}): do you sign {document}, sha256:{proposal.digest}?",
            err=True,
        )
    except click.Abort:
        click.echo("not signed", err=True)
        return False


def sign_without_asking(_: SigningStep) -> bool:
    return True
