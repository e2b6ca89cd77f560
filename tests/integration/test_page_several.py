"""Two guests in one scene of the page: both are drawn, in their places, and a click says whose memory it was."""
import house
import page
import pytest
from page import browser, open_page, picture, text_of, until

# Straight from the front with nothing over the volume: guest one fills the left half, guest two the right.
VIEW = '&camera=0,0,1300,568,256,256&hidden=free'

# How many pixels of the volume's left and right half have the colour of a kind of pages: saturated, unlike what lies behind.
COLOURED = """
    const done = arguments[1], box = document.querySelector('.volume').getBoundingClientRect(), shot = new Image();
    shot.onload = () => {
        const c = document.createElement('canvas'), pen = c.getContext('2d'), halves = [0, 0];
        [c.width, c.height] = [box.width, box.height];
        pen.drawImage(shot, -box.left, -box.top);
        const d = pen.getImageData(0, 0, c.width, c.height).data;
        for (let i = 0; i < d.length; i += 4)
            halves[Number((i / 4) % c.width >= c.width / 2)] += Math.max(d[i], d[i + 1], d[i + 2]) - Math.min(d[i], d[i + 1], d[i + 2]) > 70;
        done(halves);
    };
    shot.src = `data:image/png;base64,${arguments[0]}`;"""

CLICK = """
    const canvas = document.querySelector('.volume'), box = canvas.getBoundingClientRect();
    canvas.setPointerCapture = () => {};
    for (const type of ['pointerdown', 'pointerup'])
        canvas.dispatchEvent(new PointerEvent(type, { clientX: box.left + box.width * arguments[0], clientY: box.top + box.height * arguments[1], pointerId: 1, bubbles: true }));"""


@pytest.fixture
def two(fresh_guest, env):
    guests = [fresh_guest('--mem', '64M') for _ in range(2)]
    server = page.Server(env)
    yield guests, server
    server.stop()


def coloured(driver):
    shot = driver.execute_cdp_cmd('Page.captureScreenshot', {'format': 'png'})['data']
    return driver.execute_async_script(COLOURED, shot)


def chosen(driver):
    return driver.execute_script("const q = new URLSearchParams(location.search); return [q.get('vm'), q.get('at')]")


@pytest.mark.full
def test_two_guests_are_drawn_and_picked_in_their_places(two):
    (one, other), server = two
    with browser() as driver:
        open_page(driver, server, f'?vm={one.name}&beside={one.name},{other.name}{VIEW}', size=(640, 480))
        driver.execute_script("document.dispatchEvent(new KeyboardEvent('keydown', { key: 'l' }))")
        until('WebGPU', lambda: 'WebGPU' in text_of(driver, '#hud'))
        until('both guests', lambda: min(coloured(driver)) > 800)
        picture(driver, 'page-two-guests')
        for guest, left in ((other, 0.54), (one, 0.22)):
            for step in range(20):
                before = chosen(driver)
                driver.execute_script(CLICK, left + 0.1 * (step * 0.618 % 1), 0.35 + 0.3 * (step * 0.382 % 1))
                try:
                    until('a voxel', lambda: chosen(driver) != before, seconds=4)
                except AssertionError:
                    continue
                break
            name, address = chosen(driver)
            assert name == guest.name, (name, address)
            truth = house.answer('page', name, address, env=server.env)
            until('facts of that page', lambda: truth['kind'] in text_of(driver, '#page-facts') and ', '.join(map(str, truth['voxel'])) in text_of(driver, '#page-facts'))
        assert not page.complaints(driver)
