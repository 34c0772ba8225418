"""Links in descriptions, whose addresses come when it is known which runs they lead to."""

from harness.escapes import escape_markdown
from harness.storage.links import link_to_study, link_to_trial, with_addresses

RUNS = {None: "#/parent", 3: "#/three"}


def test_links_lead_to_runs_and_those_to_nowhere_are_text() -> None:
    text = f"{link_to_trial(3)} and {link_to_trial(4)} of {link_to_study('a [b] c')}"
    assert with_addresses(text, RUNS.get) == (r"[\#3](#/three) and \#4 of [a \[b\] c](#/parent)")


def test_what_a_user_writes_is_no_link() -> None:
    name = "[x](trial:3) [y](study:)"
    assert with_addresses(escape_markdown(name), RUNS.get) == escape_markdown(name)
    linked = with_addresses(link_to_study(name), RUNS.get)
    assert linked == f"[{escape_markdown(name)}](#/parent)"
