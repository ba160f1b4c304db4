"""Our widget in a real Chromium: for those who use a keyboard, a screen reader, a phone, another language or the dark;
and what strangers write into it."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.fixtures.fake_auth_endpoint import configure
from tests.fixtures.front_door import Workspace
from tests.fixtures.hostile_markdown import HOSTILE
from tests.fixtures.real_providers import node_packages
from tests.fixtures.responding import eventually
from tests.fixtures.site import ADA, Arrive, Guest, Site
from tests.fixtures.widget import reply
from vestibule.widget.bundle import source

pytestmark = pytest.mark.slow

MARKDOWN = """Hello! It left **yesterday**, _at last_.

1. Parcel [DHL 42](https://dhl.example/42)
2. Write to <help@shop.example>
   - or see https://shop.example/help.

> Please be at home on `Monday`

```
tracking = "42"
```
![the parcel](https://pictures.example/parcel.png)"""


def focused(guest: Guest) -> str:
    """The name of what has the focus, inside the widget too."""
    return str(
        guest.page.evaluate(
            "() => { let at = document.activeElement; while (at.shadowRoot) at = at.shadowRoot.activeElement;"
            " return at.getAttribute('aria-label') || at.textContent.trim() || at.className; }"
        )
    )


def faults(guest: Guest) -> list[Any]:
    """What axe-core finds wrong with the page, of any weight."""
    found = guest.page.evaluate("axe.run(document, { resultTypes: ['violations'] })")
    return [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found["violations"]]


class TestTheKeyboard:
    def test_is_enough(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.load()
        expect(guest.launcher).to_be_visible()
        keys = guest.page.keyboard
        guest.page.locator("#buy").focus()
        keys.press("Tab")
        assert focused(guest) == "Open chat"
        keys.press("Enter")
        expect(guest.text).to_be_focused()
        keys.type("first line")
        keys.press("Shift+Enter")
        keys.type("second line")
        keys.press("Enter")
        guest.sees(("user", "first line\nsecond line"))
        keys.press("Enter")  # nothing is written
        expect(guest.panel.locator(".message.user")).to_have_count(1)
        keys.press("Shift+Tab")
        assert focused(guest) == "Attach a file"
        keys.press("Escape")
        expect(guest.panel).to_be_hidden()
        expect(guest.launcher).to_be_focused()
        expect(guest.launcher).to_have_attribute("aria-expanded", "false")
        # Shown at once, and on its way: the contact is there when the message is.
        eventually(lambda: len(store.contacts()) == 1, within=10)

    def test_is_the_widget_s_own_while_it_is_used(self, arrive: Arrive) -> None:
        """A page's shortcuts do not run while a visitor writes."""
        guest = arrive()
        guest.load("window.heard = ''; addEventListener('keydown', (event) => { heard += event.key; });")
        guest.open()
        guest.page.keyboard.type("quit")
        guest.page.keyboard.press("Escape")
        expect(guest.panel).to_be_hidden()
        assert guest.page.evaluate("heard") == ""

    def test_does_not_send_while_a_word_is_composed(self, arrive: Arrive) -> None:
        """Enter chooses a word there (Japanese, Chinese, Korean)."""
        guest = arrive()
        guest.load()
        guest.open()
        guest.text.fill("にほん")
        guest.text.dispatch_event("keydown", {"key": "Enter", "isComposing": True, "bubbles": True})
        expect(guest.text).to_have_value("にほん")

    def test_stays_inside_where_the_panel_is_the_screen(self, arrive: Arrive) -> None:
        guest = arrive(viewport={"width": 360, "height": 640})
        guest.load()
        guest.open()
        expect(guest.panel).to_have_attribute("aria-modal", "true")
        seen = set()
        for _ in range(8):
            seen.add(focused(guest))
            guest.page.keyboard.press("Tab")
        assert {"Message", "Close chat", "Attach a file", "Send"} <= seen
        assert "Buy" not in seen

    def test_finds_its_way_through_the_list(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.load(user={"token": store.sign_in(ADA)[0]})
        guest.open()
        guest.say("one")
        guest.panel.get_by_role("button", name="Conversations").press("Enter")
        expect(guest.panel.get_by_role("button", name=re.compile("^one"))).to_be_focused()
        guest.page.keyboard.press("Escape")
        expect(guest.text).to_be_focused()


class TestScreenReaders:
    def test_are_told_what_comes(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.load()
        guest.open()
        reply(store, guest.say("hello"), "I am here.")
        # Within the panel: on a phone it is modal, and what is beside it is not read out.
        expect(guest.panel.locator(".hidden[role=status]")).to_have_text("Grace: I am here.")
        expect(guest.panel).to_have_accessible_name("test")
        expect(guest.panel.get_by_role("log")).to_be_visible()

    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("size", [(1000, 760), (360, 740)], ids=["desktop", "phone"])
    def test_find_nothing_wrong(self, arrive: Arrive, store: Workspace, scheme: Any, size: tuple[int, int]) -> None:
        """Every screen by axe-core, contrast included."""
        view = {"width": size[0], "height": size[1]}
        # Colours in the middle of an animation are nobody's.
        guest = arrive(viewport=view, color_scheme=scheme, reduced_motion="reduce")
        guest.context.add_init_script(path=node_packages() / "node_modules" / "axe-core" / "axe.min.js")
        guest.load(collectUserData=True, initialQuestions=["Where is my order?"])
        expect(guest.launcher).to_be_visible()
        assert faults(guest) == []
        guest.open()
        guest.panel.get_by_role("button", name="Start chat").click()
        assert faults(guest) == []
        guest.panel.get_by_label("Name").fill("Ada")
        guest.panel.get_by_label("E-mail").fill(ADA)
        guest.page.keyboard.press("Enter")
        expect(guest.panel.get_by_role("button", name="Where is my order?")).to_be_visible()
        assert faults(guest) == []
        conversation = guest.say("hello")
        reply(store, conversation, MARKDOWN)
        expect(guest.panel.locator(".message.agent")).to_have_count(1)
        guest.page.evaluate(f"Vestibule.identify({json.dumps({'token': store.sign_in(ADA, name='Ada')[0]})})")
        expect(guest.mark).to_contain_class("verified")
        guest.context.set_offline(offline=True)
        guest.write("offline")
        expect(guest.banner).to_be_visible()
        assert faults(guest) == []
        guest.context.set_offline(offline=False)
        expect(guest.panel.locator("[data-state=waiting]")).to_have_count(0)
        guest.panel.get_by_role("button", name="Conversations").click()
        expect(guest.panel.get_by_role("button", name="New conversation")).to_be_visible()
        assert faults(guest) == []
        configure(store, required_login=True)
        time.sleep(2.1)  # until the server looks at the settings anew
        stranger = arrive(viewport=view, color_scheme=scheme, reduced_motion="reduce")
        stranger.context.add_init_script(path=node_packages() / "node_modules" / "axe-core" / "axe.min.js")
        stranger.load(signInUrl="/sign-in")
        stranger.open()
        expect(stranger.banner.get_by_role("link")).to_be_visible()
        assert faults(stranger) == []


class TestScreens:
    @pytest.mark.parametrize("language", ["ar", "he"])
    def test_right_to_left(self, arrive: Arrive, language: str) -> None:
        guest = arrive()
        guest.load(language=language)
        guest.open()
        mine, send = guest.panel.locator(".message.ai"), guest.panel.locator(".send")
        expect(guest.page.locator("vestibule-chat .root")).to_have_attribute("dir", "rtl")
        box, panel, button = mine.bounding_box(), guest.panel.bounding_box(), send.bounding_box()
        assert box is not None
        assert panel is not None
        assert button is not None
        assert panel["x"] < 100, "it stands where lines end"
        assert box["x"] + box["width"] > panel["x"] + panel["width"] - 40, "others begin at the right"
        assert button["x"] < panel["x"] + 60

    def test_a_phone_of_360_pixels_is_filled_and_never_scrolls_sideways(self, arrive: Arrive, store: Workspace) -> None:
        view = {"width": 360, "height": 640}
        guest = arrive(viewport=view, has_touch=True, is_mobile=True, reduced_motion="reduce")
        guest.load()
        guest.open()
        assert guest.panel.bounding_box() == {"x": 0, "y": 0, "width": 360, "height": 640}
        expect(guest.launcher).to_be_hidden()
        reply(store, guest.say("w" * 300), f"{'x' * 300}\n\n```\n{'y' * 300}\n```\n\n[{'z' * 300}](https://z.example)")
        expect(guest.panel.locator(".message.agent")).to_have_count(1)
        assert guest.page.evaluate("document.documentElement.scrollWidth") == 360
        log = guest.panel.locator(".scroll")
        assert log.evaluate("(each) => each.scrollWidth <= each.clientWidth")
        # Under 16 px a phone's browser zooms into a field, and the visitor is lost.
        assert guest.text.evaluate("(each) => getComputedStyle(each).fontSize") == "16px"

    def test_the_dark(self, arrive: Arrive) -> None:
        def background(guest: Guest) -> str:
            return str(guest.panel.evaluate("(each) => getComputedStyle(each).backgroundColor"))

        guest = arrive(color_scheme="dark")
        guest.load()
        guest.open()
        assert background(guest) == "rgb(23, 26, 33)"
        guest.load(theme="light")
        assert background(guest) == "rgb(255, 255, 255)"

    def test_nothing_moves_for_those_who_wish_so(self, arrive: Arrive) -> None:
        guest = arrive(reduced_motion="reduce")
        guest.load()
        guest.open()
        assert guest.panel.evaluate("(each) => getComputedStyle(each).animationName") == "none"

    def test_a_page_sets_colours_and_cannot_break_it(self, arrive: Arrive) -> None:
        guest = arrive()
        guest.load(
            "const sheet = new CSSStyleSheet();"
            "sheet.replaceSync(':root { --vestibule-accent: rgb(1, 100, 2) }"
            " * { position: static !important; font-size: 40px !important } div, button { display: none }');"
            "document.adoptedStyleSheets = [sheet];"
        )
        guest.open()
        assert guest.launcher.evaluate("(each) => getComputedStyle(each).backgroundColor") == "rgb(1, 100, 2)"
        assert guest.text.evaluate("(each) => getComputedStyle(each).fontSize") == "16px"

    @pytest.mark.parametrize(
        "rule", [":not(:defined) { visibility: hidden }", "body > * { display: block; transform: translateX(-3000px) }"]
    )
    def test_a_page_s_rules_for_all_its_elements_leave_it_where_it_is(self, arrive: Arrive, rule: str) -> None:
        guest = arrive()
        guest.load(
            f"const sheet = new CSSStyleSheet(); sheet.replaceSync({json.dumps(rule)});"
            "document.adoptedStyleSheets = [sheet];"
        )
        expect(guest.launcher).to_be_in_viewport()
        guest.open()

    def test_a_page_may_hide_it(self, arrive: Arrive) -> None:
        guest = arrive()
        guest.load(
            "const sheet = new CSSStyleSheet(); sheet.replaceSync(':root { --vestibule-display: none }');"
            "document.adoptedStyleSheets = [sheet];"
        )
        expect(guest.launcher).to_have_count(1)
        expect(guest.launcher).to_be_hidden()

    def test_there_is_room_to_write_however_much_stands_above(self, arrive: Arrive) -> None:
        """A desk's screen at 400 %, as WCAG 2.2 measures it (1.4.10)."""
        guest = arrive(viewport={"width": 320, "height": 256}, reduced_motion="reduce")
        guest.load(initialQuestions=[f"Where is my order of last month, number {number}?" for number in range(8)])
        guest.open()
        files: Any = [{"name": f"{number}.txt", "mimeType": "text/plain", "buffer": b"one\n"} for number in range(10)]
        guest.panel.locator("input[type=file]").set_input_files(files)
        expect(guest.panel.locator(".chip.kept")).to_have_count(10)
        for part in (guest.text, guest.panel.get_by_role("button", name="Send")):
            expect(part).to_be_in_viewport(ratio=1)
        last = guest.panel.get_by_role("button", name="Remove 9.txt")
        last.focus()
        expect(last).to_be_in_viewport(ratio=0.9)

    def test_a_browser_without_constructable_style_sheets(self, arrive: Arrive, site: Site) -> None:
        """It links the style sheet instead, which the page's policy then has to allow."""
        guest = arrive()
        policy = site.policy
        site.policy = policy + f"; style-src {site.api}"
        try:
            guest.page.add_init_script("delete window.CSSStyleSheet")
            guest.load()
            guest.open()
        finally:
            site.policy = policy
        expect(guest.launcher).to_have_css("position", "relative")
        expect(guest.launcher).to_have_css("border-radius", "50%")


LANGUAGES = re.findall(r"^  (\w+): \[", source("languages.js"), re.MULTILINE)


class TestLanguages:
    def test_are_many(self) -> None:
        assert len({"en", *LANGUAGES}) >= 12

    def test_say_everything(self) -> None:
        """One text for each English one, with the same places to fill in."""
        english = re.findall(r'^  \w+: "(.*)",$', source("texts.js"), re.MULTILINE)
        for block in re.findall(r"^  \w+: \[\n(.*?)^  \],", source("languages.js"), re.MULTILINE | re.DOTALL):
            texts = re.findall(r'^    "(.*)",$', block, re.MULTILINE)
            assert len(texts) == len(english)
            assert all(texts)
            places = [sorted(re.findall(r"\{\w+\}", text)) for text in texts]
            assert places == [sorted(re.findall(r"\{\w+\}", text)) for text in english]

    @pytest.mark.parametrize(
        ("wishes", "shown"),
        [
            (("de-AT", "en", "en-US"), "Chat öffnen"),
            (("", "fr", "en-US"), "Ouvrir le chat"),
            (("", "", "ja-JP"), "チャットを開く"),
            (("tlh", "de", "de-DE"), "Open chat"),
        ],
        ids=["the page's wish", "the page's own language", "the browser's", "English where there is none"],
    )
    def test_are_chosen(self, arrive: Arrive, site: Site, wishes: tuple[str, str, str], shown: str) -> None:
        wished, page, browser = wishes
        guest = arrive(locale=browser)
        attributes = {"data-token": guest.options["token"], **({"data-lang": wished} if wished else {})}
        guest.page.goto(site.page("language", attributes=attributes, language=page))
        expect(guest.launcher).to_have_accessible_name(shown)

    def test_a_page_may_say_it_otherwise(self, arrive: Arrive) -> None:
        guest = arrive()
        guest.load(
            texts={"greeting": "Moin!", "write": "Your turn"},
            language="de",
            initialMessages=["Moin!", "**Was** gibt es?"],
        )
        guest.open()
        expect(guest.panel.locator(".bubble")).to_have_text(["Moin!", "Was gibt es?"])
        expect(guest.text).to_have_attribute("placeholder", "Your turn")


class TestWhatStrangersWrite:
    def test_markdown_is_shown(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.load()
        guest.open()
        reply(store, guest.say("**not** bold"), MARKDOWN)
        expect(guest.panel.locator(".user .bubble")).to_have_text("**not** bold")
        shown = guest.panel.locator(".agent .bubble")
        expect(shown.locator("strong")).to_have_text("yesterday")
        expect(shown.locator("em")).to_have_text("at last")
        expect(shown.locator("ol > li")).to_have_count(2)
        expect(shown.locator("ul > li")).to_contain_text("or see")
        expect(shown.locator("blockquote code")).to_have_text("Monday")
        expect(shown.locator("pre")).to_have_text('tracking = "42"')
        links = shown.locator("a").evaluate_all("(all) => all.map((each) => [each.textContent, each.href, each.rel])")
        rel = "noopener noreferrer nofollow ugc"
        assert links == [
            ["DHL 42", "https://dhl.example/42", rel],
            ["help@shop.example", "mailto:help@shop.example", rel],
            ["https://shop.example/help", "https://shop.example/help", rel],
            ["the parcel", "https://pictures.example/parcel.png", rel],
        ]
        expect(shown.locator("img")).to_have_count(0)

    def test_runs_nothing_and_asks_nobody(self, arrive: Arrive, store: Workspace) -> None:
        guest = arrive()
        guest.load()
        guest.open()
        conversation = guest.say("<img src=x onerror='window.pwned=1'>")
        for text in HOSTILE.values():
            reply(store, conversation, text, name="<img src=x onerror='window.pwned=1'>")
        expect(guest.panel.locator(".message.agent")).to_have_count(len(HOSTILE))
        allowed = {"P", "BR", "STRONG", "EM", "CODE", "PRE", "A", "UL", "OL", "LI", "BLOCKQUOTE", "HR"}
        names = guest.panel.locator(".bubble *").evaluate_all("(all) => all.map((each) => each.tagName)")
        assert set(names) <= allowed
        addresses = guest.panel.locator(".bubble a").evaluate_all("(all) => all.map((each) => each.protocol)")
        assert set(addresses) <= {"http:", "https:", "mailto:"}
        attributes = guest.panel.locator(".bubble *").evaluate_all(
            "(all) => [...new Set(all.flatMap((each) => each.getAttributeNames()))]"
        )
        assert set(attributes) <= {"class", "href", "target", "rel", "tabindex", "start"}
        for link in guest.panel.locator(".bubble a").all():
            link.dispatch_event("mouseover")
        assert guest.page.evaluate("window.pwned") is None

    def test_takes_no_long_time(self, arrive: Arrive, store: Workspace) -> None:
        """Runs of marks that never close, as long as a message may be."""
        guest = arrive()
        guest.load()
        guest.open()
        conversation = guest.say("hello")
        for piece in ("[", "*a", "_a ", "`", "![", "> ", "- ", "[a](", "**", "<", "\\", "http://", "*" * 7 + " "):
            reply(store, conversation, (piece * 32_000)[:32_000])
        began = guest.page.evaluate("performance.now()")
        expect(guest.panel.locator(".message.agent")).to_have_count(13, timeout=20_000)
        assert guest.page.evaluate("performance.now()") - began < 10_000
