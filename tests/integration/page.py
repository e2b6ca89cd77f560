"""A real Chromium on the page of a running `glassbox serve`."""
import base64
import contextlib
import json
import os
import subprocess
import tempfile
import time
import urllib.error
import urllib.request

from selenium import webdriver
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service

import house

FLAGS = ['--headless=new', '--no-sandbox', '--disable-quic', '--no-first-run', '--disable-background-networking',
         '--disable-component-update', '--disable-sync', '--window-size=900,620']
WEBGPU = ['--enable-unsafe-webgpu', '--use-webgpu-adapter=swiftshader', '--use-angle=swiftshader',
          '--enable-features=Vulkan', '--use-vulkan=swiftshader']


class Server:
    """`glassbox serve` as a child; restart() keeps the port."""

    def __init__(self, env, port=0, *args):
        self.env, self.args = env, args
        self.start(port)

    def start(self, port):
        self.process = subprocess.Popen([house.GLASSBOX, 'serve', '--listen', f'127.0.0.1:{port}', '--json', *self.args],
                                        env={**os.environ, **self.env}, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.PIPE, text=True)
        answer = json.loads(self.process.stdout.readline())
        self.answer = answer
        self.url, self.port = answer['url'], answer['port']
        self.token = self.url.split('token=')[1]
        self.base = f'http://127.0.0.1:{self.port}'

    def stop(self):
        self.process.terminate()
        self.process.wait(timeout=60)
        self.process.stdout.close()

    def ask(self, path, body=None, headers=None, method=None):
        """Status, headers and body of one request; body: bytes or an object for JSON."""
        data = body if isinstance(body, (bytes, type(None))) else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data=data, headers=headers or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def get(self, path):
        status, _, body = self.ask(path)
        assert status == 200, (path, status, body)
        return json.loads(body)

    def change(self, path, body=None):
        return self.ask(path, body or {}, {'Authorization': f'Bearer {self.token}', 'Content-Type': 'application/json'})


@contextlib.contextmanager
def browser(*, webgpu=True):
    """A fresh Chromium; gives its driver."""
    with tempfile.TemporaryDirectory() as profile:
        options = Options()
        for flag in [*FLAGS, f'--user-data-dir={profile}', *(WEBGPU if webgpu else ['--disable-gpu'])]:
            options.add_argument(flag)
        options.binary_location = '/usr/bin/chromium'
        options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
        driver = webdriver.Chrome(service=Service('/usr/bin/chromedriver'), options=options)
        driver.set_script_timeout(120)
        try:
            yield driver
        finally:
            driver.quit()


def until(what, found, seconds=150):
    """Waits for found() to be true and gives its value."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = found()
        if value:
            return value
        time.sleep(0.3)
    raise AssertionError(f'never came: {what}')


def text_of(driver, selector):
    return driver.execute_script('return document.querySelector(arguments[0])?.textContent ?? ""', selector)


def press(driver, selector, text=None):
    """Clicks the first element that selector (and its text, if given) names, as soon as there is one: lists are drawn
    when their answers come."""
    until(f'{selector} {text or ""}', lambda: driver.execute_script("""
        const found = [...document.querySelectorAll(arguments[0])].find((e) => !arguments[1] || e.textContent.includes(arguments[1]));
        found?.click();
        return Boolean(found);""", selector, text))


def complaints(driver):
    """Errors of the page's scripts; those of a network that was taken away on purpose are not."""
    return [entry['message'] for entry in driver.get_log('browser')
            if entry['level'] == 'SEVERE' and 'net::' not in entry['message'] and 'WebSocket' not in entry['message']
            and 'the server responded with a status' not in entry['message']]


def resize(driver, width, height, touch=False):
    """The page's own size, whatever the window's."""
    driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', {'width': width, 'height': height, 'deviceScaleFactor': 1, 'mobile': touch})
    if touch:
        driver.execute_cdp_cmd('Emulation.setTouchEmulationEnabled', {'enabled': True, 'maxTouchPoints': 5})


def open_page(driver, server, query='', size=(1280, 720), touch=False):
    """Opens the page with its token and waits for the guest's processes."""
    resize(driver, *size, touch)
    driver.get(f'{server.base}/{query}#token={server.token}')
    until('a process list', lambda: driver.execute_script("return document.querySelectorAll('#process-rows tr').length"))


def picture(driver, name):
    """Keeps what the browser shows in build/pictures, to be looked at."""
    folder = house.BUILD / 'pictures'
    folder.mkdir(exist_ok=True)
    shot = driver.execute_cdp_cmd('Page.captureScreenshot', {'format': 'png'})
    (folder / f'{name}.png').write_bytes(base64.b64decode(shot['data']))


def shown_processes(driver):
    """(pid, name) of the rows of the process list."""
    return driver.execute_script("""return [...document.querySelectorAll('#process-rows tr')].map(
        row => [Number(row.dataset.pid), row.children[1].textContent])""")
