"""`GET /widget.js`: how the script is served, and what it is made of."""

from __future__ import annotations

import gzip
import re
import subprocess
import sys

import httpx
import pytest

from tests.fixtures.front_door import Installation
from vestibule.widget import bundle

# What a page may have to load at the most, as it goes over the wire.
LARGEST = 30_000
TOP_LEVEL = re.compile(r"^(?:export )?(?:async function|function|class|const|let) ([\w$]+)", re.MULTILINE)


def get(installation: Installation, path: str = "/widget.js", **headers: str) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with installation.http.stream("GET", path, headers=named) as answer:
        answer.read()
    return answer


EXPORTED = re.compile(r"^export (?:async function|function|class|const) (\w+)", re.MULTILINE)


class TestServing:
    def test_any_page_may_load_it(self, installation: Installation) -> None:
        answer = get(installation)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "cross-origin"
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "set-cookie" not in answer.headers
        assert answer.text == bundle.script()

    def test_it_is_small(self, installation: Installation) -> None:
        answer = get(installation, accept_encoding="gzip, br")
        assert answer.headers["content-encoding"] == "gzip"
        assert int(answer.headers["content-length"]) <= LARGEST

    @pytest.mark.parametrize("accepted", ["identity", "br", "gzip;q=0", "gzip; q=0.0, br"])
    def test_who_takes_no_gzip_gets_none(self, installation: Installation, accepted: str) -> None:
        answer = get(installation, accept_encoding=accepted)
        assert "content-encoding" not in answer.headers
        assert answer.headers["vary"] == "accept-encoding"
        assert len(answer.content) == int(answer.headers["content-length"])

    @pytest.mark.parametrize("accepted", ["gzip", "identity"])
    def test_it_is_kept_and_asked_for_again(self, installation: Installation, accepted: str) -> None:
        first = get(installation, accept_encoding=accepted)
        assert re.match(r"public, max-age=\d+", first.headers["cache-control"])
        again = get(installation, accept_encoding=accepted, if_none_match=first.headers["etag"])
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == first.headers["etag"]
        assert get(installation, if_none_match='"another"').status_code == 200

    def test_codings_are_told_apart(self, installation: Installation) -> None:
        tags = {get(installation, accept_encoding=accepted).headers["etag"] for accepted in ("gzip", "identity")}
        assert len(tags) == 2

    def test_the_style_sheet_is_there_for_old_browsers(self, installation: Installation) -> None:
        answer = get(installation, "/widget.css")
        assert answer.headers["content-type"] == "text/css; charset=utf-8"
        assert answer.text == bundle.style_sheet()

    def test_nothing_else_is_below_it(self, installation: Installation) -> None:
        assert installation.http.get("/widget.js/x").status_code == 404
        assert installation.http.post("/widget.js").status_code == 405
        assert installation.http.head("/widget.js").status_code == 200


class TestTheScript:
    def test_is_the_same_bytes_each_time(self) -> None:
        once = "from vestibule.widget.bundle import script; print(script(), end='')"
        done = subprocess.run([sys.executable, "-c", once], capture_output=True, check=True, timeout=30)
        assert done.stdout.decode() == bundle.script()

    def test_has_every_module_once(self) -> None:
        from importlib import resources  # noqa: PLC0415

        folder = resources.files("vestibule.widget") / "modules"
        assert sorted(each.name[:-3] for each in folder.iterdir() if each.name.endswith(".js")) == sorted(
            bundle.MODULES
        )

    def test_has_names_that_do_not_collide(self) -> None:
        """The modules share one scope."""
        names = [name for module in bundle.MODULES for name in TOP_LEVEL.findall(bundle.source(f"{module}.js"))]
        assert len(names) == len(set(names))

    @pytest.mark.parametrize("module", bundle.MODULES)
    def test_is_made_of_modules_that_stand_above_what_they_import(self, module: str) -> None:
        """Each is a good module by itself as well: what it imports is exported there."""
        imports = re.findall(
            r"^import \{ ([^}]+) \} from \"\./(\w+)\.js\";$", bundle.source(f"{module}.js"), re.MULTILINE
        )
        assert all(bundle.MODULES.index(other) < bundle.MODULES.index(module) for _, other in imports)
        for names, other in imports:
            exported = EXPORTED.findall(bundle.source(f"{other}.js"))
            assert {name.strip() for name in names.split(",")} <= set(exported)

    def test_makes_no_markup_or_code_of_texts(self) -> None:
        """What a page's policy would forbid, and what a stranger's text could use."""
        forbidden = r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function|DOMParser|srcdoc"
        assert not re.search(forbidden, bundle.script())
        assert "document.cookie" not in bundle.script()

    def test_asks_nobody_else_for_anything(self) -> None:
        addresses = set(re.findall(r"https?://[\w./-]+", bundle.script()))
        assert addresses == {"http://www.w3.org/2000/svg"}

    def test_modules_can_be_read_in_one_sitting(self) -> None:
        texts = {module: bundle.source(f"{module}.js") for module in bundle.MODULES if module != "languages"}
        assert [module for module, text in texts.items() if len(text.splitlines()) > 400] == []
        assert all(bundle.source(f"{module}.js").startswith("// ") for module in bundle.MODULES)


class TestMakingItLean:
    @pytest.mark.parametrize(
        ("text", "lean"),
        [
            ("a = 1; // note\nb = 2;", "a=1;b=2;"),
            ("f(a, [b,], { c, });\nif (d) {\n  e();\n}\nfor (;;) {}", "f(a,[b],{c});if(d){e()}for(;;){}"),
            ('x = "// no note  at all";', 'x="// no note  at all";'),
            ("x = `a  ${b}  // c`;", "x=`a  ${b}  // c`;"),
            ("x = /[/\"']  +/g;", "x=/[/\"']  +/g;"),
            ("let a = b\n+ c", "let a=b\n+c"),
            ("a + +b - -c", "a+ +b- -c"),
            ("let a\nlet b", "let a\nlet b"),
            ("if (a) return\nb()", "if(a)return\nb()"),
            ("x = a / b / c;", "x=a/b/c;"),
            ("/** Says\n * what. */\nfunction f() {}", "function f(){}"),
        ],
    )
    def test_keeps_what_it_means(self, text: str, lean: str) -> None:
        assert "".join(bundle._lean(text)).strip() == lean

    def test_takes_little_room(self) -> None:
        assert len(gzip.compress(bundle.script().encode(), 9, mtime=0)) <= LARGEST
