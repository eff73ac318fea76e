import json
import os
import pathlib
import re
import shlex
import subprocess
import sys

import numpy as np
import pytest
from pictures import compare
from server import Server

ROOT = pathlib.Path(__file__).resolve().parents[2]
DRAWN = ("document.querySelector('#figures') && "
         "[...document.querySelectorAll('#figures figure:not([hidden])')].every(figure => figure.querySelector('svg'))")
KEPT = "[...document.querySelectorAll('figcaption span')].map(one => one.textContent)"


def opened(browser, server, fragment="", **options):
    page = browser.page(**options)
    page.open(f"{server.url}/{fragment}")
    page.wait(DRAWN)
    return page


def kept(page, side):
    """-> how many cells a side's picture shows undimmed."""
    return page.run(f"""(() => {{
      const path = document.querySelector('#figure-{side} svg .dim').getAttribute('d');
      const dimmed = [...path.matchAll(/h(\\d+)v1/g)].reduce((sum, match) => sum + Number(match[1]), 0);
      return 576 - dimmed;
    }})()""")


@pytest.mark.parametrize("name, options", [
    ("desktop-light", {"width": 1360, "height": 1100}), ("desktop-dark", {"width": 1360, "height": 1100, "dark": True}),
    ("phone-light", {"width": 390, "height": 1500, "mobile": True}),
    ("phone-dark", {"width": 390, "height": 1500, "mobile": True, "dark": True})])
def test_it_looks_as_it_did(browser, server, name, options):
    with opened(browser, server, **options) as page:
        # The time that the server took is never the same.
        page.run("document.querySelectorAll('dl div:last-child dd').forEach(one => { one.textContent = '–'; })")
        page.wait("[...document.images].every(image => image.complete && image.naturalWidth)")
        assert page.run("document.documentElement.scrollWidth") == options["width"], "it scrolls sideways"
        compare(name, page.screenshot())


def test_nothing_comes_from_elsewhere(browser, server):
    with opened(browser, server) as page:
        addresses = [url for url in page.requests() if not url.startswith(("data:", "blob:"))]
        assert addresses and all(url.startswith(server.url + "/") for url in addresses)


def test_the_pictures_follow_the_slider(browser, server):
    with opened(browser, server) as page:
        assert (kept(page, "a"), kept(page, "b")) == (64, 64)
        page.run("document.getElementById('keep').focus()")
        for _ in range(3):
            page.press("ArrowRight")
        page.wait(f"{KEPT}.every(text => text === '67 of 576')")
        assert (kept(page, "a"), kept(page, "b")) == (67, 67)
        assert page.run("document.getElementById('status').textContent").startswith("crop keeps 67 of 576 tokens")
        # The last of many quick changes is the one that counts.
        page.run("""for (let count = 70; count <= 300; count += 10) {
          document.getElementById('keep').value = count;
          document.getElementById('keep').dispatchEvent(new Event('input'));
        }""")
        page.wait(f"{KEPT}.every(text => text === '300 of 576')")
        assert (kept(page, "a"), kept(page, "b")) == (300, 300)


def test_what_is_drawn_is_what_the_server_answers(browser, server):
    with opened(browser, server, "#sample=coffee_cup&keep=50&a=fastv&b=visionzip") as page:
        drawn = page.run("""(() => {
          const path = document.querySelector('#figure-a svg .dim').getAttribute('d');
          const dimmed = new Set();
          for (const [, x, y, width] of path.matchAll(/M(\\d+) (\\d+)h(\\d+)/g)) {
            for (let column = Number(x); column < Number(x) + Number(width); column += 1) dimmed.add(Number(y) * 24 + column);
          }
          return [...Array(576).keys()].filter(token => !dimmed.has(token));
        })()""")
        answer = page.run(f"""(async () => {{
          const {{ readSafetensors, writeSafetensors }} = await import('{server.url}/assets/tensors.js');
          const file = async name => new Uint8Array(await (await fetch('assets/' + name)).arrayBuffer());
          const read = readSafetensors(await file('coffee_cup_attention.safetensors'));
          const body = writeSafetensors(read.tensors, {{}});
          return (await (await fetch('prune?method=fastv&keep_tokens=50', {{ method: 'POST', body }})).json()).kept_indices;
        }})()""")
        assert drawn == answer


def test_a_link_restores_everything(browser, server):
    own, value = "important_ratio", 0.25
    state = ("#sample=astronaut_flag&keep=120&a=vispruner&b=topk&region=0.125,0.25,0.5,0.75&policy=share&share=0.25&show=map,region,grid"
             f"&pa=%7B%22{own}%22%3A{value}%7D")
    with opened(browser, server, state) as page:
        page.wait(f"{KEPT}.every(text => text === '120 of 576')")
        assert page.run("document.querySelector('input[name=sample]:checked').value") == "astronaut_flag"
        assert page.run("[document.getElementById('method-a').value, document.getElementById('method-b').value]") == ["vispruner", "topk"]
        assert page.run("document.querySelectorAll('#figure-a svg .heat').length") == 0  # a drawn region has no map
        assert page.run("document.querySelectorAll('#figure-a svg .gridline').length") == 1
        assert page.run("document.querySelector('#figure-a svg .region').getAttribute('x')") == "125"
        assert not page.run("document.getElementById('show-photo').checked")
        curl = page.run("document.getElementById('curl').textContent")
        assert "region_policy=share&region_share=0.25" in curl and own in curl
        # The address is what it was, so that a copy of it is the same link.
        same = page.run("Object.fromEntries(new URLSearchParams(location.hash.slice(1)))")
        given = dict(pair.split("=", 1) for pair in state[1:].split("&"))
        assert {name: same[name] for name in given if name != "pa"} == {name: given[name] for name in given if name != "pa"}
        assert json.loads(same["pa"]) == {own: value}


def test_the_curl_line_does_what_is_on_screen(browser, server, tmp_path):
    with opened(browser, server, "#sample=cat_eye&keep=40&region=0.1,0.1,0.4,0.6&policy=first&b=") as page:
        page.save_downloads(tmp_path)
        page.run("document.getElementById('save').click()")
        page.wait_for_download()
        curl = page.run("document.getElementById('curl').textContent").replace("\\\n", " ")
        told = subprocess.run(shlex.split(curl), cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
        answer = json.loads(told.stdout)
        assert len(answer["kept_indices"]) == 40 == kept(page, "a") and answer["region_policy"] == "first"
        program = page.run("document.getElementById('python').textContent")
        client = str(ROOT / "clients" / "python" / "src")
        ran = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, timeout=60,
                             env={**os.environ, "PYTHONPATH": client})
        assert ran.returncode == 0, ran.stderr
        assert [int(number) for number in re.findall(r"\d+", ran.stdout)] == answer["kept_indices"]


@pytest.mark.parametrize("kind", ["npy", "npz", "npz-deflate", "safetensors", "json"])
def test_files_of_every_kind_are_taken(browser, server, tmp_path, kind):
    features = np.random.default_rng(1).standard_normal((48, 16), dtype=np.float32)
    if kind == "npy":
        np.save(path := tmp_path / "image_features.npy", features)
    elif kind == "npz":
        np.savez(path := tmp_path / "two.npz", image_features=features, text_features=features[0])
    elif kind == "npz-deflate":
        np.savez_compressed(path := tmp_path / "two.npz", image_features=features, text_features=features[0])
    elif kind == "json":
        (path := tmp_path / "request.json").write_text(json.dumps({"image_features": features.tolist()}))
    else:
        from safetensors.numpy import save_file
        save_file({"image_features": features}, path := tmp_path / "own.safetensors")
    with opened(browser, server) as page:
        page.run("document.getElementById('own').open = true")
        page.give_files("#tensor-files", [path])
        # 48 tokens are no square: until the grid is told, the server draws them in lines.
        page.wait("document.querySelector('#figure-b .picture img')")
        page.run("""document.getElementById('rows').value = 6; document.getElementById('columns').value = 8;
          document.getElementById('rows').dispatchEvent(new Event('change'))""")
        page.run("document.getElementById('method-a').value = 'divprune'; "
                 "document.getElementById('method-a').dispatchEvent(new Event('change'))")
        page.wait(f"{KEPT}[0] === '5 of 48' && document.querySelector('#figure-a svg .kept')")
        options = page.run("[...document.getElementById('method-a').options].filter(one => one.disabled).map(one => one.value)")
        assert "fastv" in options and "divprune" not in options
        assert ("cdpruner" in options) == ("npz" not in kind)


def test_a_photograph_lies_beneath_dropped_tensors(browser, server):
    with opened(browser, server) as page:
        page.run("document.getElementById('own').open = true")
        page.give_files("#tensor-files", [ROOT / "Examples" / "cat_eye_all.safetensors"])
        page.wait("document.querySelector('#figure-a svg .kept')")
        page.give_files("#photo-file", [ROOT / "Examples" / "coffee.jpg"])
        page.wait("(document.querySelector('#figure-a svg image') || {getAttribute() {}}).getAttribute('href').startsWith('blob:')")
        assert kept(page, "a") == 64


@pytest.mark.parametrize("name, content, told", [
    ("photo.safetensors", b"\xff\xd8\xff\xe0 no tensors", "is none of .safetensors, .npy, .npz and .json"),
    ("x.json", b"{\"image_features\": [[1, 2], [3]]}", "rows of different lengths"),
    ("x.npz", b"PK\x03\x04 cut off", "no directory"), ("x.json", b"{\"keep_tokens\": 3}", "no tensor tells")])
def test_a_file_that_is_none_is_said_to_be(browser, server, tmp_path, name, content, told):
    (tmp_path / name).write_bytes(content)
    with opened(browser, server) as page:
        page.give_files("#tensor-files", [tmp_path / name])
        page.wait("!document.getElementById('problem').hidden")
        assert told in page.run("document.getElementById('problem').textContent")
        assert page.run("document.getElementById('problem').getAttribute('role')") == "alert"


def test_a_refusal_of_the_server_stands_below_its_picture(browser, server):
    with browser.page() as page:
        page.expected = ["status of 422"]
        page.open(f"{server.url}/#b=cdpruner")
        page.wait(DRAWN)
        own = page.run("""fetch('methods/cdpruner').then(r => r.json()).then(one =>
          one.parameters.find(own => own.minimum !== undefined))""")
        page.run(f"""const field = document.querySelector('#parameters-b [data-parameter={own["name"]}]');
          field.value = {own["minimum"] - 1}; field.dispatchEvent(new Event('input', {{ bubbles: true }}))""")
        page.wait("document.querySelector('#figure-b .problem:not([hidden])')")
        assert own["name"] in page.run("document.querySelector('#figure-b .problem').textContent")
        assert page.run("document.querySelector('#figure-b .picture').classList.contains('stale')")
        # The other side goes on.
        assert page.run("document.querySelector('#figure-a .problem').hidden") and kept(page, "a") == 64


def test_a_region_can_be_drawn(browser, server):
    with opened(browser, server) as page:
        page.run("document.querySelector('input[name=region][value=box]').click()")
        page.wait("document.querySelector('#figure-a .draws')")
        area = page.place("#figure-a svg")
        corner = (area["x"] + area["width"] * 0.5, area["y"] + area["height"] * 0.25)
        end = (area["x"] + area["width"] * 0.75, area["y"] + area["height"] * 0.5)
        page.mouse("mousePressed", *corner)
        page.mouse("mouseMoved", (corner[0] + end[0]) / 2, (corner[1] + end[1]) / 2)
        page.mouse("mouseMoved", *end)
        page.mouse("mouseReleased", *end)
        page.wait("Math.abs(Number(document.querySelector('#figure-a svg .region').getAttribute('x')) - 500) < 5")
        box = page.run("[...document.querySelectorAll('[data-side]')].map(one => Math.round(Number(one.value)))")
        assert box == [50, 25, 75, 50]
        page.wait("document.querySelector('#figure-a dd').textContent === '36 of 36'")


def test_every_method_is_shown_at_once_and_can_be_taken(browser, server):
    with opened(browser, server, "#sample=cat_eye&keep=50&a=topk&b=uniform&all=1") as page:
        # Some methods need more than their tensors, such as the number of frames, and are left out.
        page.expected = ["status of 422"]
        page.wait("document.querySelectorAll('#gallery svg').length > 15")
        told = page.run("""(async () => {
          const { readSafetensors, writeSafetensors } = await import(document.baseURI.split('#')[0] + 'assets/tensors.js');
          const file = async name => new Uint8Array(await (await fetch('assets/' + name)).arrayBuffer());
          const read = readSafetensors(await file('cat_eye_attention.safetensors'));
          const body = writeSafetensors(read.tensors, {});
          const kept = async method => (await (await fetch(`prune?method=${method}&keep_tokens=50`, { method: 'POST', body })).json()).kept_indices;
          const [first, second] = [await kept('topk'), await kept('fastv')];
          const both = first.filter(token => second.includes(token)).length;
          return both / (first.length + second.length - both);
        })()""")
        label = page.run("document.querySelector('#gallery [aria-label^=fastv]').getAttribute('aria-label')")
        assert "50 kept" in label and f"overlap {told:.2f}" in label
        page.run("document.querySelector('#gallery [aria-label^=fastv]').click()")
        page.wait("document.querySelector('#figure-b figcaption b').textContent === 'fastv'")
        assert "b=fastv" in page.run("location.hash")


def test_it_works_by_keyboard_and_is_named_for_screen_readers(browser, server):
    with opened(browser, server) as page:
        page.run("document.activeElement.blur()")
        met = []
        for _ in range(60):
            page.press("Tab")
            met.append(page.run("""(one => one.id || one.name || one.textContent.trim().slice(0, 30))(document.activeElement)"""))
        for wanted in ["Skip to the pictures", "sample", "keep-number", "keep", "method-a", "method-b", "region", "policy",
                       "show-photo", "save", "link", "curl"]:
            assert wanted in met, f"Tab never reaches {wanted}: {met}"
        names = page.names()
        for role, name in names:
            if role in ("button", "checkbox", "radio", "combobox", "slider", "spinbutton", "textbox", "image", "img", "link"):
                assert name.strip(), f"a {role} has no name"
        assert ("slider", "Kept tokens") in names and ("combobox", "Left") in names
        assert ("radio", "cat: where is the eye?") in names
        assert any(name.startswith("crop: 64 of 576 tokens kept") for _, name in names)
        assert page.run("document.documentElement.lang") == "en"


KEY = "0123456789abcdefABCDEF"


def server_with_key(folder):
    keys = folder / "keys"
    keys.write_text(f"lab {KEY}\n")
    keys.chmod(0o600)
    return Server("--api-key-file", str(keys))


def test_with_keys_the_page_is_open_and_asks_for_one(browser, tmp_path):
    with server_with_key(tmp_path) as server:
        page = browser.page()
        page.open(server.url + "/")
        page.wait("!document.getElementById('problem').hidden")
        assert "API key" in page.run("document.getElementById('problem').textContent")
        assert page.run("document.getElementById('access').open")
        page.run("""document.getElementById('key').value = '0123456789abcdefABCDEF';
          document.getElementById('key').dispatchEvent(new Event('change'))""")
        page.wait(DRAWN)
        assert page.run("document.getElementById('problem').hidden")
        assert "0123456789abcdef" not in page.run("location.href + document.getElementById('curl').textContent")


@pytest.mark.parametrize("options", [{}, {"width": 390, "height": 1500, "mobile": True}], ids=["desktop", "phone"])
def test_the_contract_is_drawn(browser, server, options):
    with browser.page(**options) as page:
        page.open(server.url + "/docs")
        page.wait("document.querySelectorAll('#main > details').length > 20")
        page.run("document.getElementById('prune').open = true")
        page.wait("document.querySelectorAll('#prune table tr').length > 20")
        assert page.run("document.documentElement.scrollWidth <= window.innerWidth")


def test_the_contract_of_a_server_with_keys(browser, tmp_path):
    with server_with_key(tmp_path) as server:
        # Not closed by `with`, which minds the 401 that is expected here.
        page = browser.page()
        page.open(server.url + "/docs")
        page.wait("document.getElementById('load') && !document.querySelector('#main > details')")
        page.wait("document.body.innerText.includes('API keys')")
        page.run("""(key => { key.value = '0123456789abcdefABCDEF'; key.dispatchEvent(new Event('input')); })(
          document.getElementById('key'))""")
        page.run("document.getElementById('load').click()")
        page.wait("document.querySelectorAll('#main > details').length > 20")
        page.run("document.getElementById('prune').open = true")
        page.wait("document.querySelector('#prune pre')")
        # The command names a variable; the key itself is shown nowhere.
        assert "$CROP_KEY" in page.run("document.querySelector('#prune pre').textContent")
        assert "0123456789abcdef" not in page.run("location.href + document.body.innerText")


def test_a_command_is_copied_without_a_secure_context(browser, server):
    with browser.page() as page:
        page.open(server.url + "/docs")
        page.wait("document.querySelectorAll('#main > details').length > 20")
        page.run("document.getElementById('prune').open = true")
        page.wait("document.querySelector('#prune pre')")
        page.run("""Object.defineProperty(navigator, 'clipboard', { value: undefined });
          document.execCommand = name => {
            window.copiedText = name + ': ' + getSelection().toString() + document.activeElement.value;
            return true;
          };
          [...document.querySelectorAll('#prune button')].find(one => one.textContent === 'copy').click()""")
        page.wait("[...document.querySelectorAll('#prune button')].some(one => one.textContent === 'copied')")
        copied = page.run("window.copiedText")
        assert copied.startswith("copy: ") and "curl" in copied
        assert not page.run("document.querySelector('.copying')")


def test_every_operation_can_be_opened_and_sent(browser, server):
    with browser.page() as page:
        page.open(server.url + "/docs")
        page.wait("document.querySelectorAll('#main > details').length > 20")
        page.run("document.querySelectorAll('#main > details').forEach(one => { one.open = true; })")
        page.wait("[...document.querySelectorAll('#main > details')].every(one => one.childElementCount > 1)")
        assert "undefined" not in page.run("document.getElementById('main').innerText")
        addresses = page.run("[...document.querySelectorAll('#main [aria-label=target]')].map(one => one.value)")
        assert len(addresses) > 40 and not any("{" in address for address in addresses)
        # Of the protocol, whose body stands beside several paths.
        page.run("document.querySelector('#v2_infer button').click()")
        page.wait("document.querySelector('#v2_infer [aria-live]').innerText.includes('kept_indices')")
        # One that has no body.
        command = page.run("document.querySelector('#v2_unregister_all pre').textContent")
        assert shlex.split(command)[:4] == ["curl", "-sS", "-X", "POST"]
