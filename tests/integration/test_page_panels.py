"""The panels of the page in a real browser, drawn by the server (its pictures are tested elsewhere): everything the
command line can do to a VM, touch, small screens, contrast and names."""
import time

import house
import page
import pytest
from selenium.webdriver import ActionChains
from page import browser, open_page, picture, press, text_of, until

LAYOUT = """
    const over = [...document.querySelectorAll('.top, .top > *, .stage, .lower, .timeline, .right > section, .left > section')].filter((e) => e.offsetParent && getComputedStyle(e).visibility !== 'hidden')
        .map((e) => [e.id || e.className, e.getBoundingClientRect()]).filter(([, b]) => b.left < -1 || b.top < -1 || b.right > innerWidth + 1 || b.bottom > innerHeight + 1).map(([name]) => name);
    const root = document.scrollingElement;
    return { over, scrolls: root.scrollWidth > innerWidth || root.scrollHeight > innerHeight };"""

NAMELESS = """
    const named = (e) => (e.getAttribute('aria-label') || e.textContent || e.title || (e.labels && [...e.labels].map((l) => l.textContent).join('')) ||
        document.getElementById(e.getAttribute('aria-labelledby'))?.textContent || '').trim();
    return [...document.querySelectorAll('button, input, select, textarea, [role=button], [role=tab], canvas:not([aria-hidden]), img:not([alt]), dialog')]
        .filter((e) => !named(e) && !e.closest('.xterm')).map((e) => e.outerHTML.slice(0, 90));"""

CONTRAST = """
    const channels = (c) => (c.match(/[\\d.]+/g) || []).map(Number);
    const light = ([r, g, b]) => [r, g, b].map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
    const behind = (e) => { for (; e; e = e.parentElement) { const c = channels(getComputedStyle(e).backgroundColor); if (c.length >= 3 && (c.length < 4 || c[3] > 0.6)) return c; } return [255, 255, 255]; };
    const bad = [];
    for (const e of document.querySelectorAll('#app *')) {
        if (!e.offsetParent || e.closest('.xterm, [disabled], canvas, svg, #stage') || ![...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim())) continue;
        const style = getComputedStyle(e);
        if (style.visibility === 'hidden') continue;
        const [a, b] = [light(channels(style.color)), light(behind(e))].sort((x, y) => y - x);
        const ratio = (a + 0.05) / (b + 0.05);
        if (ratio < 4.5) bad.push(`${ratio.toFixed(2)} ${e.id || e.className} ${e.textContent.trim().slice(0, 30)}`);
    }
    return bad;"""


@pytest.fixture
def served(vm_name, env, tmp_path):
    """A guest without a disk (which a snapshot would name) and a server with a data folder of its own."""
    env['XDG_DATA_HOME'] = str(tmp_path / 'data')
    guest = house.start(vm_name(), env, '--mem', '64M')
    server = page.Server(env)
    yield guest, server
    server.stop()
    guest.stop()


def choose_tab(driver, name):
    press(driver, f'#tab-{name}')


def camera(driver):
    """Of the address: yaw, pitch, distance, x, y, z; None while it is the usual one."""
    text = driver.execute_script("return new URLSearchParams(location.search).get('camera')")
    return [float(v) for v in text.split(',')] if text else None


def touch(driver, *paths):
    """Moves fingers along paths of (x, y), all at once."""
    def send(kind, step):
        points = [] if kind == 'touchEnd' else [{'x': path[step][0], 'y': path[step][1], 'id': i} for i, path in enumerate(paths)]
        driver.execute_cdp_cmd('Input.dispatchTouchEvent', {'type': kind, 'touchPoints': points})
    send('touchStart', 0)
    for step in range(1, len(paths[0])):
        send('touchMove', step)
    send('touchEnd', -1)


def line(x0, y0, x1, y1, steps=6):
    return [(x0 + (x1 - x0) * i / steps, y0 + (y1 - y0) * i / steps) for i in range(steps + 1)]


def settled_camera(driver, before):
    return until('another camera', lambda: (lambda c: c if c and c != before else None)(camera(driver)))


def test_panels_do_what_the_command_line_does(served):
    guest, server = served
    with browser(webgpu=False) as driver:
        open_page(driver, server, '?draw=server')
        print('loaded from loopback: DOM after %d ms, all after %d ms, ready after %d ms' % tuple(driver.execute_script(
            "const n = performance.getEntriesByType('navigation')[0]; return [n.domContentLoadedEventEnd, n.loadEventEnd, performance.getEntriesByName('glassbox-ready')[0].startTime]")))

        def ours():
            return {row['name'] for row in server.get('/api/v1/vms') if row['ours']}

        choose_tab(driver, 'snapshots')
        until('an empty list', lambda: 'No snapshot' in text_of(driver, '#snapshot-list'))
        driver.find_element('css selector', '#snapshot-name').send_keys('before')
        driver.find_element('css selector', '#snapshot-take').click()
        until('the snapshot', lambda: 'before' in text_of(driver, '#snapshot-list'))
        assert [row['name'] for row in house.answer('snapshots', env=server.env)] == ['before']
        press(driver, '#snapshot-list button', 'restore')
        until('the restored VM', lambda: ours() - {guest.name})
        restored = until('its name in the address', lambda: (lambda vm: vm if vm and vm != guest.name else None)(
            driver.execute_script("return new URLSearchParams(location.search).get('vm')")))
        until('its processes', lambda: driver.execute_script("return document.querySelectorAll('#process-rows tr').length"))
        press(driver, f'[aria-label="Stop {restored}"]')
        until('its end', lambda: ours() == {guest.name})
        press(driver, '.vm .name', guest.name)

        for action, state in (('Pause', 'paused'), ('Resume', 'running')):
            press(driver, f'[aria-label="{action} {guest.name}"]')
            until(state, lambda: text_of(driver, '#vm-state') == state)

        choose_tab(driver, 'audit')
        until('the snapshot in the audit log', lambda: 'snapshot' in text_of(driver, '#list-audit') and 'pause' in text_of(driver, '#list-audit'))

        choose_tab(driver, 'calls')
        until('the calls', lambda: driver.execute_script("return document.querySelectorAll('#call option').length") > 30)
        driver.execute_script("""const call = document.getElementById('call'); call.value = 'symbols'; call.dispatchEvent(new Event('change'));
            document.getElementById('call-pattern').value = 'init_task'; document.getElementById('call-run').click();""")
        address = house.answer('symbols', guest.name, 'init_task', env=server.env)[0]['address']
        until('the answer of a call', lambda: address in text_of(driver, '#call-result'))

        served_calls = {op['operationId'] for path in server.get('/openapi.json')['paths'].values() for op in path.values()}
        assert {'run', 'stop', 'pause', 'resume', 'reset', 'snapshot', 'restore', 'offload', 'learn'} <= served_calls

        choose_tab(driver, 'process')
        press(driver, '#process-rows tr[data-pid="1"]')
        until('its memory map', lambda: '/bin/busybox' in text_of(driver, '#list-process'))
        picture(driver, 'page-process')
        assert not page.complaints(driver)


def test_touch_turns_moves_and_zooms(served):
    _, server = served
    with browser(webgpu=False) as driver:
        open_page(driver, server, '?draw=server', size=(844, 390), touch=True)
        until('a picture', lambda: 'drawn by the server' in text_of(driver, '#hud') and 'dirty pages' in text_of(driver, '#hud'))
        x, y = driver.execute_script("const b = document.querySelector('.volume').getBoundingClientRect(); return [b.left + b.width / 2, b.top + b.height / 2]")
        touch(driver, line(x, y, x + 80, y))
        turned = settled_camera(driver, None)
        touch(driver, line(x - 30, y, x - 90, y), line(x + 30, y, x + 90, y))
        pinched = settled_camera(driver, turned)
        assert pinched[2] < turned[2] / 2 and pinched[:2] == turned[:2]
        touch(driver, line(x - 40, y, x - 40, y + 50), line(x + 40, y, x + 40, y + 50))
        moved = settled_camera(driver, pinched)
        assert moved[3:] != pinched[3:] and abs(moved[2] / pinched[2] - 1) < 0.1
        touch(driver, [(x, y)])
        until('a tap inspects', lambda: driver.execute_script("return new URLSearchParams(location.search).get('at')"))
        press(driver, '.right-drawer')
        until('facts in the drawer', lambda: text_of(driver, '#page-facts'))
        picture(driver, 'page-phone')
        assert driver.execute_script(LAYOUT) == {'over': [], 'scrolls': False}
        assert not page.complaints(driver)


def test_keys_fly_to_single_bytes_and_the_address_holds_the_view(served):
    guest, server = served
    with browser(webgpu=False) as driver:
        open_page(driver, server, '?draw=server&at=0x1000123&mode=byte&explode=20&slice=0-90,0-100,10-100&hidden=free&wire=on')
        until('facts', lambda: text_of(driver, '#page-facts'))
        until('a picture', lambda: 'dirty pages' in text_of(driver, '#hud'))
        assert driver.execute_script("return ['tool-explode', 'slice-x-to', 'slice-z-from'].map((id) => Number(document.getElementById(id).value))") == [20, 90, 10]
        assert driver.execute_script("return document.getElementById('tool-wire').checked && document.querySelector('.modes .on').textContent") == 'byte'
        driver.execute_script("document.dispatchEvent(new KeyboardEvent('keydown', { key: 'b' }))")
        near = settled_camera(driver, None)
        until('the end of the flight', lambda: camera(driver)[2] < 20)
        near = camera(driver)
        voxel = house.answer('page', guest.name, '0x1000123', env=server.env)['voxel']
        wanted = [v + v // 128 * 128 * 0.2 + 0.5 for v in voxel]
        assert all(abs(a - b) < 0.11 for a, b in zip(near[3:], wanted)), (near, voxel)
        driver.execute_script("document.querySelector('#tools').open = true; const s = document.getElementById('tool-sphere'); s.value = 'keep'; s.dispatchEvent(new Event('change'))")
        until('the sphere in the address', lambda: 'sphere=' in driver.current_url)
        link = driver.current_url
        press(driver, '#hex [data-at="16777510"]')
        until('the byte of the hex view in the address', lambda: 'at=0x1000126' in driver.current_url)
        driver.get(link)
        until('the same view', lambda: camera(driver) == near)
        driver.execute_script("document.dispatchEvent(new KeyboardEvent('keydown', { key: '?' }))")
        assert driver.execute_script("return document.getElementById('help').open")
        assert not page.complaints(driver)


def test_the_layout_fits_and_everything_can_be_read(served):
    _, server = served
    with browser(webgpu=False) as driver:
        open_page(driver, server, '?draw=server')
        until('kinds', lambda: 'kernel-text' in text_of(driver, '#legend'))
        for size in ((1280, 720), (1024, 768), (844, 390)):
            page.resize(driver, *size)
            time.sleep(0.3)
            assert driver.execute_script(LAYOUT) == {'over': [], 'scrolls': False}, size
        page.resize(driver, 1280, 720)
        for theme in ('dark', 'light'):
            driver.execute_script('document.documentElement.dataset.theme = arguments[0]', theme)
            for tab in ('console', 'dmesg', 'snapshots', 'learning', 'calls'):
                choose_tab(driver, tab)
                time.sleep(0.3)
                assert driver.execute_script(CONTRAST) == [], (theme, tab)
            picture(driver, f'page-{theme}')
        assert driver.execute_script(NAMELESS) == []
        before = driver.execute_script("return [...document.querySelectorAll('.top, .stage, .lower, .right')].map((e) => JSON.stringify(e.getBoundingClientRect()))")
        press(driver, '#process-rows tr[data-pid="1"]')
        time.sleep(3)
        assert before == driver.execute_script("return [...document.querySelectorAll('.top, .stage, .lower, .right')].map((e) => JSON.stringify(e.getBoundingClientRect()))")


def test_the_past_shows_who_ran_then(served):
    """A process that came and went is in the list of its moment, and in no other."""
    guest, server = served
    guest.console.run('cp /bin/busybox /tmp/busybox-passing; /tmp/busybox-passing sleep 7777 &')

    def recorded():
        rows = server.get(f'/api/v1/vms/{guest.name}/history?table=processes')
        return any(row['comm'].startswith('busybox-p') for row in rows)
    until('the recorder to see it', lambda: server.ask(f'/api/v1/vms/{guest.name}/history')[0] == 200 and recorded())
    then = time.time()
    time.sleep(2)
    guest.console.run('kill $!; wait $!')  # a zombie is still a process
    until('the recorder to miss it', lambda: not recorded())
    with browser(webgpu=False) as driver:
        open_page(driver, server, '?draw=server')
        until('a timeline', lambda: driver.execute_script("return !document.getElementById('timeline').disabled"))
        assert not any(name.startswith('busybox-p') for _, name in page.shown_processes(driver))
        span = server.get(f'/api/v1/vms/{guest.name}/timeline')
        part = (then + 1 - span['first_ns'] / 1e9) / (span['last_ns'] - span['first_ns']) * 1e9
        driver.execute_script("const s = document.getElementById('timeline'); s.value = arguments[0]; s.dispatchEvent(new Event('input'))", round(part * 1000))
        until('the process of then', lambda: any(name.startswith('busybox-p') for _, name in page.shown_processes(driver)))
        picture(driver, 'page-past')
        driver.execute_script("document.dispatchEvent(new KeyboardEvent('keydown', { key: 'n' }))")
        until('now', lambda: not any(name.startswith('busybox-p') for _, name in page.shown_processes(driver)))
        assert not page.complaints(driver)


def test_nothing_runs_and_a_wrong_vm(env):
    server = page.Server(env)
    try:
        with browser(webgpu=False) as driver:
            driver.get(f'{server.base}/?draw=server#token={server.token}')
            until('an empty list', lambda: 'No VM runs' in text_of(driver, '#vm-list') or text_of(driver, '#vm-list li .name'))
            driver.get(f'{server.base}/?draw=server&vm=nobody#token={server.token}')
            until('words about it', lambda: 'nobody' in text_of(driver, '.message') or 'nobody' in text_of(driver, '#process-note'))
    finally:
        server.stop()


@pytest.mark.full
def test_the_screen_shows_and_takes_keys(fresh_guest, env):
    guest = fresh_guest('--mem', '128M', '--screen')
    server = page.Server(env)
    guest.console.run("setsid sh -c 'exec sh </dev/tty1 >/dev/tty1 2>&1' &")
    lit = """const c = document.querySelector('#screen canvas'); if (!c?.width) return 0;
        const d = c.getContext('2d').getImageData(0, 0, c.width, c.height).data; let n = 0; for (let i = 0; i < d.length; i += 4) n += d[i] > 60; return n;"""
    try:
        with browser(webgpu=False) as driver:
            open_page(driver, server, '?draw=server&tab=screen')
            before = until('text on the screen', lambda: driver.execute_script(lit))
            glass = driver.find_element('css selector', '#screen canvas')
            glass.click()
            # One by one, as a PS/2 keyboard's queue is short; no '>', for which the driver presses a key that no US keyboard has.
            for key in 'touch /typed-word\n':
                ActionChains(driver).send_keys(key).perform()
                time.sleep(0.2)
            until('the typed word in the guest', lambda: guest.console.run('ls /typed-word')[0] == 0)
            until('more on the screen', lambda: driver.execute_script(lit) != before)
            picture(driver, 'page-screen')
            assert not page.complaints(driver)
    finally:
        server.stop()
