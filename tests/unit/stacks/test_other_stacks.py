"""Reading another stack's outputs."""

import pytest

from stacks.other_stacks import StackReferenceError, read_stack_outputs
from tests.support.other_stacks import OtherStacks, secret, start

STACK = "acme/infrastructure/production"
SECRET = "made-up-kubeconfig"


def test_secret_outputs_are_plain_values_that_are_named_and_not_shown() -> None:
    start(OtherStacks({STACK: {"region": "north", "kubeconfig": secret(SECRET)}}))
    outputs = read_stack_outputs(STACK)
    assert dict(outputs) == {"region": "north", "kubeconfig": SECRET}
    assert outputs.secret_names == {"kubeconfig"}
    assert SECRET not in repr(outputs)
    assert outputs.require("kubeconfig") == SECRET


def test_a_missing_output_is_refused_with_those_there_are() -> None:
    start(OtherStacks({STACK: {"kubeconfig": SECRET, "region": "north"}}))
    outputs = read_stack_outputs(STACK)
    with pytest.raises(StackReferenceError) as caught:
        outputs.require("kubeConfig")
    assert caught.value.why == 'it has no output "kubeConfig"'
    assert caught.value.mend == 'did you mean "kubeconfig"? (its outputs: kubeconfig, region)'


def test_a_secret_that_cannot_be_decrypted_is_not_taken_for_a_value() -> None:
    # This is what the engine gives in its place.
    start(OtherStacks({STACK: {"kubeconfig": secret({}), "labels": {}}}))
    outputs = read_stack_outputs(STACK)
    with pytest.raises(StackReferenceError, match="can't be decrypted here; run with the passphrase or key"):
        outputs.require("kubeconfig")
    assert outputs.require("labels") == {}


def test_a_stack_without_outputs_is_not_deployed() -> None:
    start(OtherStacks({STACK: {}}))
    with pytest.raises(StackReferenceError) as caught:
        read_stack_outputs(STACK)
    assert str(caught.value) == (
        f'stack "{STACK}": it exports nothing: it is not deployed yet, or was destroyed;'
        " deploy it first: pulumi up"
    )


@pytest.mark.parametrize(
    ("said", "why", "mend"),
    [
        (
            'unknown stack "acme/infrastructure/production"',
            "there is no such stack in this backend",
            "pulumi stack ls --all",
        ),
        (
            "[403] Forbidden: you may not read\n this stack",
            "it may not be read ([403] Forbidden: you may not read this stack)",
            "pulumi login",
        ),
        ("open state/production.json: permission denied", "it may not be read (open", "pulumi login"),
        ("blob (code=Unknown): AccessDenied: Access Denied", "it may not be read (blob", "pulumi login"),
        (
            "organization name must be 'organization'",
            "it can't be read (organization name must be 'organization')",
            "mend what the engine names",
        ),
    ],
)
def test_what_the_engine_refuses_is_one_line_with_a_mend(said: str, why: str, mend: str) -> None:
    start(OtherStacks({}, refusal=said))
    with pytest.raises(StackReferenceError) as caught:
        read_stack_outputs(STACK)
    assert caught.value.why.startswith(why)
    assert mend in caught.value.mend
    assert "\n" not in str(caught.value)
