"""The report page: what is written into it, and what a real browser shows of it."""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import json
import re
import shutil
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from dsncodec.bench.page import render

from .conftest import picture

METRICS = [
    {"key": "psnr_db", "label": "RGB PSNR", "unit": "dB"},
    {"key": "psnr_y_db", "label": "luma PSNR", "unit": "dB"},
    {"key": "ssim_y", "label": "luma SSIM", "unit": ""},
    {"key": "ms_ssim_y", "label": "luma MS-SSIM", "unit": ""},
]
GAIN_DB = {"jpeg": 0.0, "avif-6": 2.5, "avif-3": 2.8, "dsn": 1.5, "bicubic-2": -2.0}
LABELS = {
    "jpeg": "JPEG",
    "avif-6": "AVIF speed 6",
    "avif-3": "AVIF speed 3",
    "dsn": "dsncodec",
    "bicubic-2": "bicubic twin",
}
KINDS = {"dsn": "ours", "bicubic-2": "twin"}
ATTACK = "</script><script>window.hit=1</script><img src=x onerror=window.hit=1>"


def curve(gain_db: float, farthest_bpp: float = 2.0) -> list[dict[str, Any]]:
    """Six settings, 3 dB a doubling of the rate."""
    points = []
    for step in range(6):
        bpp, quality = farthest_bpp / 2 ** (5 - step), 26 + gain_db + 3 * step
        points.append(
            {
                "setting": str(10 * step),
                "bpp": bpp,
                "psnr_db": quality,
                "psnr_y_db": quality + 1,
                "ssim_y": 1 - 10 ** (-quality / 20),
                "ms_ssim_y": None,
                "encode_s": [0.1, 0.2, 0.4],
                "decode_s": [0.01, 0.02, 0.04],
                "peak_mib": 100.0 + step,
            }
        )
    return points


def image_set(name: str, pictures: int) -> dict[str, Any]:
    curves = {key: curve(gain, 5.0 if key == "jpeg" else 2.0) for key, gain in GAIN_DB.items()}
    rows = {
        key: [[point["bpp"], *(point[metric["key"]] for metric in METRICS)] for point in points]
        for key, points in curves.items()
    }
    percents = {
        anchor: {
            test: {"percent": 10 * (GAIN_DB[anchor] - GAIN_DB[test]), "low": 27.1, "high": 38.0}
            for test in GAIN_DB
            if test != anchor
        }
        for anchor in GAIN_DB
    }
    percents["jpeg"]["bicubic-2"] = None  # type: ignore[assignment]
    return {
        "name": name,
        "pictures": pictures,
        "megapixels": 3.3,
        "skipped": [{"file": "broken.png", "reason": "cannot identify image file"}],
        "curves": curves,
        "images": {"one.webp": rows, "two.webp": rows},
        "bd_rate": {"psnr_db": percents},
    }


def data_url(seed: int) -> str:
    file = io.BytesIO()
    picture("RGB", 60, 40, seed).save(file, "PNG")
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


def sample(name: str, seed: int) -> dict[str, Any]:
    versions = {
        key: {"setting": "31", "bytes": 9800 + i, "bpp": 0.299, "psnr_db": 31.2, "src": data_url(seed + i)}
        for i, key in enumerate(("jpeg", "avif-6", "dsn"), 1)
    }
    size = {"width": 60, "height": 40, "target_bpp": 0.3}
    return {"name": name, **size, "original": data_url(seed), "versions": versions}


REPORT: dict[str, Any] = {
    "title": "Codecs on photographs",
    "command": "dsncodec bench photos",
    "made_by": ["dsncodec 0.2.0", "a machine"],
    "metrics": METRICS,
    "codecs": [
        {"key": key, "label": LABELS[key], "detail": "4:4:4", "kind": KINDS.get(key, "peer")}
        for key in GAIN_DB
    ],
    "missing": [{"codec": "compressai", "reason": "the package compressai is not installed"}],
    "sets": [image_set("set14", 14), image_set("urban", 50)],
    "published": [
        {
            "set": "Kodak",
            "label": "VTM 12.1",
            "group": "classic",
            "source": "a paper",
            "points": [[0.1, 30], [1, 39]],
        }
    ],
    "samples": [sample("astronaut", 1), sample("cat", 9)],
}


def smallest() -> dict[str, Any]:
    """One set, one codec, one point; nothing else is known."""
    point = dict.fromkeys(("psnr_y_db", "ssim_y", "ms_ssim_y", "encode_s", "decode_s", "peak_mib"))
    only = {"name": "one", "pictures": 1, "megapixels": None, "skipped": [], "images": {}, "bd_rate": {}}
    only["curves"] = {"jpeg": [{"setting": "50", "bpp": 0.5, "psnr_db": 30.0, **point}]}
    empty: dict[str, Any] = {key: [] for key in ("made_by", "missing", "published", "samples")}
    return {
        "title": "",
        "command": "",
        "metrics": METRICS,
        "codecs": REPORT["codecs"][:1],
        "sets": [only],
        **empty,
    }


def hostile() -> dict[str, Any]:
    """Every text of the report, and every name that is a key, attacks the page."""

    def attack(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: item if key in ("key", "kind", "src", "original") else attack(item)
                for key, item in value.items()
            }
        if isinstance(value, list):
            return [attack(item) for item in value]
        return value + ATTACK if isinstance(value, str) else value

    report = attack(copy.deepcopy(REPORT))
    for one in report["sets"]:
        one["images"] = {name + ATTACK: rows for name, rows in one["images"].items()}
        one["curves"][ATTACK] = curve(0)
    report["samples"][0]["versions"]["jpeg"]["src"] = "https://192.0.2.1/" + ATTACK
    report["samples"][0]["original"] = "javascript:window.hit=1"
    return report


# --- the file


class Scripts(HTMLParser):
    """Collects the scripts of a page, and counts its elements."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.scripts: dict[str | None, str] = {}
        self.elements = 0
        self._open: str | bool | None = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements += 1
        self._open = dict(attrs).get("id") if tag == "script" else False

    def handle_data(self, data: str) -> None:
        if self._open is not False:
            self.scripts[self._open] = self.scripts.get(self._open, "") + data

    def handle_endtag(self, tag: str) -> None:
        self._open = False


@pytest.mark.parametrize("report", [REPORT, hostile(), smallest(), {"title": "nicht-Unicode \udcff, — λ"}])
def test_the_report_comes_back(report: dict[str, Any]) -> None:
    page = render(report)
    page.encode()
    assert json.loads(Scripts(page).scripts["report"]) == report


def test_names_cannot_leave_their_block() -> None:
    assert Scripts(render(hostile())).elements == Scripts(render(REPORT)).elements
    assert "onerror" not in render(hostile()).replace("\\u003cimg src=x onerror", "")


def test_nothing_is_loaded_from_elsewhere() -> None:
    page = render(REPORT)
    assert set(re.findall(r"\w+://[\w./]*", page)) == {"http://www.w3.org/2000/svg"}  # a name, never loaded
    assert all(target.startswith(("data:", "#")) for target in re.findall(r"""(?:src|href)="([^"]*)""", page))
    assert set(re.findall(r"url\(.", page)) == {"url(#"} and "@import" not in page


def test_only_the_pages_own_script_may_run() -> None:
    page = render(REPORT)
    digest = base64.b64encode(hashlib.sha256(Scripts(page).scripts["program"].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page and "default-src 'none'" in page


def test_json_has_no_infinity() -> None:
    with pytest.raises(ValueError):
        render({"sets": [{"megapixels": float("inf")}]})


# --- the browser

Open = Callable[..., Any]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    pytest.importorskip("selenium", reason="drives the browser")
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("chromium and chromedriver (Debian: chromium, chromium-driver) are not on PATH")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for argument in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"):
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(executable_path=driver))
    browser.set_script_timeout(10)
    yield browser
    browser.quit()


@pytest.fixture
def show(browser: Any, tmp_path: Path) -> Iterator[Open]:
    """Open a report at a size, in a colour scheme; afterwards the console must hold no error."""

    def show(
        report: dict[str, Any] = REPORT, address: str = "", width: int = 1366, scheme: str = "light"
    ) -> Any:
        path = tmp_path / "report.html"
        path.write_text(render(report))
        size = {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500}
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.get("about:blank")
        browser.get(path.as_uri() + address)
        settle(browser)
        return browser

    browser.get_log("browser")
    yield show
    assert [entry for entry in browser.get_log("browser") if entry["level"] != "INFO"] == []


def settle(browser: Any) -> None:
    """Two frames: the page draws a change in the next one."""
    browser.execute_async_script("requestAnimationFrame(() => requestAnimationFrame(arguments[0]))")


def find(browser: Any, selector: str) -> Any:
    return browser.find_element("css selector", selector)


def texts(browser: Any, selector: str) -> list[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map((node) => node.textContent)"
    return list(browser.execute_script(script, selector))


def click(browser: Any, selector: str) -> None:
    element = find(browser, selector)
    browser.execute_script("arguments[0].scrollIntoView({ block: 'center', behavior: 'instant' })", element)
    element.click()
    settle(browser)


def choose(browser: Any, chooser: str, value: str) -> None:
    click(browser, f"#{chooser} option[value='{value}']")


def drag(browser: Any, selector: str, start: tuple[int, int], by: tuple[int, int]) -> None:
    """From start, counted from the element's middle."""
    from selenium.webdriver.common.action_chains import ActionChains

    element = find(browser, selector)
    browser.execute_script("arguments[0].scrollIntoView({ block: 'center', behavior: 'instant' })", element)
    chain = ActionChains(browser, duration=20).move_to_element_with_offset(element, *start).click_and_hold()
    chain.move_by_offset(*by).release().perform()
    settle(browser)


def curves_drawn(browser: Any, plot: str = "rate-plot") -> set[str]:
    script = "return [...document.querySelectorAll(arguments[0])].map((node) => node.dataset.series)"
    return set(browser.execute_script(script, f"#{plot} .series"))


def rates(browser: Any) -> list[str]:
    return texts(browser, "#rate-plot .x-tick")


def test_curves_are_drawn(show: Open) -> None:
    browser = show()
    assert curves_drawn(browser) == set(GAIN_DB)
    assert len(browser.find_elements("css selector", "#rate-plot [data-series=avif-3] .mark")) == 6
    assert set(LABELS.values()) <= set(texts(browser, "#rate-plot .end"))  # names at the curves' ends
    assert max(map(float, rates(browser))) <= 2.1, (
        "one codec that goes on to 5 bpp must not squash the others"
    )
    assert "14 pictures" in find(browser, "#lead").text and browser.title == "Codecs on photographs"


def test_the_legend_switches_a_curve_off_and_on(show: Open) -> None:
    browser = show()
    button = "#legend [data-id=jpeg]"
    click(browser, button)
    assert curves_drawn(browser) == set(GAIN_DB) - {"jpeg"}
    assert find(browser, button).get_attribute("aria-pressed") == "false"
    assert "JPEG" not in texts(browser, "#matrix tbody th")
    browser.switch_to.active_element.send_keys(" ")  # focus stayed on the button
    settle(browser)
    assert curves_drawn(browser) == set(GAIN_DB)


def test_a_point_tells_its_numbers(show: Open) -> None:
    from selenium.webdriver.common.action_chains import ActionChains

    browser = show()
    ActionChains(browser, duration=0).move_to_element(
        find(browser, "#rate-plot [data-series=dsn] .mark")
    ).perform()
    shown = find(browser, "#rate-plot .tip").text
    assert shown.split() == ["dsncodec", "setting", "0", "rate", "0.063", "bpp", "RGB", "PSNR", "27.50", "dB"]


def test_metric_set_and_picture(show: Open) -> None:
    browser = show()
    choose(browser, "metric", "ssim_y")
    assert texts(browser, "#rate-plot .axis-name")[0] == "luma SSIM"
    assert "not computed for luma SSIM" in find(browser, "#bd-note").text
    choose(browser, "metric", "ms_ssim_y")  # all null
    assert "none has this metric" in find(browser, "#rate-plot").text
    choose(browser, "metric", "psnr_db")
    choose(browser, "set", "1")
    assert "50 pictures of urban" in find(browser, "#rate-note").text
    choose(browser, "picture", "two.webp")
    assert find(browser, "#rate-note").text == "One picture of urban: two.webp."
    assert curves_drawn(browser) == set(GAIN_DB)


def test_zoom_and_back(show: Open) -> None:
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.actions.wheel_input import ScrollOrigin

    browser = show()
    plot, first = find(browser, "#rate-plot svg"), rates(browser)
    drag(browser, "#rate-plot svg", (-200, -100), (150, 120))
    boxed = rates(browser)
    assert boxed != first
    ActionChains(browser).scroll_from_origin(ScrollOrigin.from_element(plot), 0, -300).perform()
    settle(browser)
    assert rates(browser) not in (first, boxed)
    ActionChains(browser, duration=0).move_to_element(plot).double_click().perform()
    settle(browser)
    assert rates(browser) == first
    click(browser, "#rate-zoom button[aria-label='Zoom in']")
    assert rates(browser) != first
    plot.send_keys("0")
    settle(browser)
    assert rates(browser) == first
    click(browser, "#rate-zoom button:nth-child(3)")  # fit all
    assert max(map(float, rates(browser))) == 5
    click(browser, "#rate-zoom button:last-child")
    assert rates(browser) == first
    click(browser, "#log [data-value=log]")
    assert "0.1" in rates(browser)


def test_bd_rate(show: Open) -> None:
    browser = show()
    choose(browser, "anchor", "jpeg")
    rows = texts(browser, "#matrix tbody tr")
    assert rows[0] == "JPEG·+25.0+28.0+15.0−20.0" and rows[4].startswith("bicubic twin–+45.0")
    assert texts(browser, "#bars .value") == ["−28.0\u00a0%", "−25.0\u00a0%", "−15.0\u00a0%"]
    assert "bicubic twin" in find(browser, "#bars-note").text  # no common range
    cell = find(browser, "#matrix tbody tr:nth-child(2) td")
    assert cell.get_attribute("title") == (
        "AVIF speed 6 needs 25.0 % fewer bytes than JPEG at equal RGB PSNR, from 27.10 to 38.00 dB."
    )
    click(browser, "#matrix thead [data-id=dsn]")
    assert find(browser, "#anchor").get_attribute("value") == "dsn"


def test_speed(show: Open) -> None:
    browser = show()
    assert texts(browser, "#speed-table tbody tr")[0] == "JPEG200 ms× 1.0020.0 ms× 1.00105"
    assert curves_drawn(browser, "speed-plot") == set(GAIN_DB)
    click(browser, "#timing [data-value=decode]")
    click(browser, "#against [data-value=bpp]")
    assert texts(browser, "#speed-plot .axis-name") == ["decode time per megapixel", "bits per pixel"]
    assert len(browser.find_elements("css selector", "#speed-plot [data-series=dsn] .whisker")) == 6


def test_published_curves(show: Open) -> None:
    browser = show()
    assert "of other pictures" in texts(browser, "#published-note")[0]
    click(browser, "#published summary")
    click(browser, "#published-legend button")
    assert curves_drawn(browser) == {*GAIN_DB, "published 0"}
    assert find(browser, "#published-legend small").text == "Kodak. a paper"
    choose(browser, "metric", "ssim_y")
    assert curves_drawn(browser) == set(GAIN_DB)


def test_the_verdict_and_the_pictures_come_first(show: Open) -> None:
    report = copy.deepcopy(REPORT) | {"anchor": "avif-6"}
    for one, words in zip(report["sets"], ("Ours needs fewer bytes.", "Ours needs more.")):
        one["verdict"] = words
    browser = show(report)
    assert texts(browser, "#verdict p") == ["set14: Ours needs fewer bytes.", "urban: Ours needs more."]
    places = [find(browser, f"#{name}").location["y"] for name in ("verdict", "pictures", "bar", "rate")]
    assert places == sorted(places)
    shown = [find(browser, f"#{side}").get_attribute("value") for side in ("left", "right")]
    assert shown == ["avif-6", "dsn"]
    click(browser, "#thumbs button:nth-child(2)")
    assert [find(browser, f"#{side}").get_attribute("value") for side in ("left", "right")] == shown


def test_curves_have_the_colours_that_plots_have(show: Open) -> None:
    pytest.importorskip("matplotlib")
    from dsncodec.bench.page import colours
    from dsncodec.bench.plots import styles_of

    browser, page = show(), colours()
    for key, style in styles_of(REPORT["codecs"]):
        line = find(browser, f"#rate-plot [data-series='{key}'] path")
        hexes = page[style.colour]
        rgb = ", ".join(str(int(hexes[at : at + 2], 16)) for at in (1, 3, 5))
        assert line.value_of_css_property("stroke") == f"rgb({rgb})", key
        dash = line.get_attribute("stroke-dasharray") or ""
        assert [float(part) for part in dash.split()] == list(style.dash), key


def test_divider(show: Open) -> None:
    browser = show()
    divider = find(browser, "#divider")
    assert divider.get_attribute("role") == "slider"
    divider.send_keys("\ue014")  # right arrow
    assert divider.get_attribute("aria-valuenow") == "52"
    divider.send_keys("\ue010")  # end
    assert divider.get_attribute("aria-valuetext") == "100 % Original, 0 % dsncodec"
    divider.send_keys("\ue011")  # home
    drag(browser, "#stage", (0, 0), (100, 0))
    width = browser.execute_script("return document.getElementById('stage').clientWidth")
    assert int(divider.get_attribute("aria-valuenow")) == pytest.approx(50 + 100 * 100 / width, abs=1.5)


def test_pictures_zoom_and_move(show: Open) -> None:
    browser = show()
    choose(browser, "left", "dsn")
    assert " ".join(find(browser, "#left-facts").text.split()) == (
        "dsncodec bytes 9 803 bpp 0.299 RGB PSNR 31.20 dB setting 31"
    )
    assert "90 bytes (0.30 bpp)" in find(browser, "#match").text
    click(browser, "#zoom [data-value='1']")
    assert find(browser, "#left-image").size == {"width": 60, "height": 40}
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": 200, "height": 844, "deviceScaleFactor": 1, "mobile": True},
    )
    settle(browser)
    click(browser, "#zoom [data-value='4']")
    image = find(browser, "#left-image")
    assert image.value_of_css_property("image-rendering") == "pixelated"
    before = image.location["x"]
    drag(browser, "#stage", (30, 40), (-20, 0))
    assert image.location["x"] == before - 20
    click(browser, "#thumbs button:nth-child(2)")
    assert "cat" in find(browser, "#match").text


def test_the_address_keeps_the_view(show: Open) -> None:
    browser = show()
    choose(browser, "set", "1")
    choose(browser, "metric", "psnr_y_db")
    choose(browser, "anchor", "avif-3")
    click(browser, "#legend [data-id=bicubic-2]")
    browser.refresh()
    settle(browser)
    assert curves_drawn(browser) == set(GAIN_DB) - {"bicubic-2"}
    chosen = [find(browser, f"#{chooser}").get_attribute("value") for chooser in ("set", "metric", "anchor")]
    assert chosen == ["1", "psnr_y_db", "avif-3"]
    browser.execute_script("location.hash = 'set=nowhere&metric=none&hide=jpeg&anchor=9'")
    settle(browser)
    assert curves_drawn(browser) == set(GAIN_DB) - {"jpeg"}
    assert find(browser, "#set").get_attribute("value") == "0"


@pytest.mark.parametrize("width", [360, 390, 768, 1920])
def test_the_page_never_scrolls_sideways(show: Open, width: int) -> None:
    browser = show(width=width)
    browser.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    root = "document.documentElement"
    wide, room, window = browser.execute_script(
        f"return [{root}.scrollWidth, {root}.clientWidth, innerWidth]"
    )
    assert wide == room and window == width  # a phone's window grows when its page is too wide


def test_dark_and_light(show: Open) -> None:
    colour = "return getComputedStyle(document.body).backgroundColor"
    light = show().execute_script(colour)
    browser = show(scheme="dark")
    dark = browser.execute_script(colour)
    assert light != dark
    click(browser, "#theme")
    assert browser.execute_script(colour) == light


def test_downloads(show: Open) -> None:
    browser = show(address="#published=Kodak: VTM 12.1&hide=jpeg")
    browser.execute_script(
        "window.saved = []; URL.createObjectURL = (blob) => { blob.text().then((text) => saved.push(text)); return 'data:,'; };"
        "HTMLAnchorElement.prototype.click = () => {}; URL.revokeObjectURL = () => {}"
    )
    click(browser, "#csv")
    click(browser, "#svg")
    table, plot = browser.execute_script("return saved")
    head, first, *rest = table.splitlines()
    assert head.startswith("set,picture,codec,setting,bpp,psnr_db,") and first.startswith(
        "set14,,avif-6,0,0.0625,28.5,"
    )
    assert len(rest) == 4 * 6 + 2 - 1 and rest[-1].startswith('Kodak,,"VTM 12.1 (published, Kodak)",')
    assert plot.startswith("<svg") and "var(" not in plot and "VTM 12.1 (published, Kodak)" in plot


def test_what_is_missing_is_named(show: Open) -> None:
    browser = show()
    listed = texts(browser, "#left-out li")
    assert "compressai: the package compressai is not installed" in listed
    assert "set14/broken.png: cannot identify image file" in listed
    click(browser, "#rows summary")
    assert len(texts(browser, "#rows-table tbody tr")) == 30
    click(browser, "#rows-table thead th:nth-child(3) button")
    assert texts(browser, "#rows-table tbody td:nth-child(3)")[0] == "0.0625"


@pytest.mark.parametrize("report", [smallest(), {"title": "nothing"}], ids=["smallest", "empty"])
def test_little_is_enough(show: Open, report: dict[str, Any]) -> None:
    browser = show(report)
    for button in browser.find_elements("css selector", ".segmented button, #csv, #svg, #none, #all"):
        if button.is_displayed():
            browser.execute_script("arguments[0].click()", button)
            settle(browser)
    assert not find(browser, "#pictures").is_displayed()


def test_hostile_names_do_nothing(show: Open, browser: Any) -> None:
    show(hostile())
    click(browser, "#published summary")
    click(browser, "#published-legend button")
    choose(browser, "set", "1")
    browser.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    assert browser.execute_script("return window.hit") is None
    assert ATTACK in find(browser, "#title").text and ATTACK in find(browser, "#left-out").text
    assert not browser.find_elements("css selector", "img[onerror]")
    blocked = [entry["message"] for entry in browser.get_log("browser")]
    assert blocked and all(
        "Content Security Policy" in message for message in blocked
    )  # the foreign pictures
