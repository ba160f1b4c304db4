from __future__ import annotations

from vestibule.settings import Settings
from vestibule.surfaces.dashboard.seat import cookie, cookie_name


def test_behind_tls_no_other_host_can_set_it() -> None:
    settings = Settings(public_url="https://chat.example.com")
    assert cookie_name(settings) == b"__Host-vestibule_staff"
    name, value = cookie(settings, "secret")
    assert name == b"set-cookie"
    assert value == b"__Host-vestibule_staff=secret; Path=/; Max-Age=43200; HttpOnly; SameSite=Lax; Secure"


def test_signing_out_makes_the_browser_forget_it() -> None:
    assert b"=; Path=/; Max-Age=0;" in cookie(Settings(public_url="http://127.0.0.1:8000"), "")[1]
