"""The page in a real browser: it shows the real guest, picks real addresses, types into the real console."""
import house
import page
import pytest
from page import browser, open_page, picture, press, text_of, until


@pytest.fixture
def served(fresh_guest, env):
    guest = fresh_guest('--mem', '64M')
    server = page.Server(env)
    yield guest, server
    server.stop()


def pick_something(driver):
    """Clicks about the middle of the volume until a voxel is hit; gives the address that the page shows."""
    return driver.execute_async_script("""
        const done = arguments[0], canvas = document.querySelector('.volume'), box = canvas.getBoundingClientRect();
        const at = () => new URLSearchParams(location.search).get('at') ||
            document.querySelector('#page-facts dd')?.textContent;
        let turn = 0;
        const click = () => {
            if (at()) return done(at());
            if (turn > 120) return done('');
            const x = box.left + box.width * (0.5 + 0.3 * Math.sin(turn * 2.4)), y = box.top + box.height * (0.5 + 0.3 * Math.cos(turn * 2.4) * Math.sqrt(turn / 120));
            for (const type of ['pointerdown', 'pointerup'])
                canvas.dispatchEvent(new PointerEvent(type, { clientX: x, clientY: y, pointerId: 1, bubbles: true }));
            turn++;
            setTimeout(click, 700);
        };
        canvas.setPointerCapture = () => {};
        click();""")


def test_page_shows_the_guest(served):
    guest, server = served
    with browser() as driver:
        open_page(driver, server, size=(900, 500))
        rows = server.get(f'/api/v1/vms/{guest.name}/ps')
        shown = until('the same processes', lambda: (lambda s: s if len(s) >= len(rows) - 2 else None)(page.shown_processes(driver)))
        assert (1, 'init') in {tuple(row) for row in shown}
        assert {pid for pid, _ in shown} & {row['pid'] for row in rows if not row['kthread']} == \
            {row['pid'] for row in rows if not row['kthread']}
        until('pages on the GPU', lambda: 'WebGPU' in text_of(driver, '#hud'))
        until('kinds', lambda: 'kernel-text' in text_of(driver, '#legend'))
        assert text_of(driver, '#vm-state') == 'running'

        press(driver, '#process-rows tr[data-pid="1"]')
        until('the process in the address', lambda: 'pid=1' in driver.current_url)

        address = pick_something(driver)
        assert address, 'no voxel was hit'
        until('facts of the page', lambda: text_of(driver, '#page-facts'))
        truth = house.answer('page', guest.name, address, env=server.env)
        facts = text_of(driver, '#page-facts')
        assert truth['kind'] in facts, (truth, facts)
        assert ', '.join(map(str, truth['voxel'])) in facts, (truth, facts)
        picture(driver, 'page-webgpu')
        assert not page.complaints(driver)


def test_console_question_and_survival(served):
    guest, server = served
    with browser() as driver:
        open_page(driver, server, '?draw=server')
        until('the console', lambda: '#' in text_of(driver, '#console .xterm-rows'))
        field = driver.find_element('css selector', '#console textarea')
        field.send_keys('echo so-$((40+2))-so\n')
        until('the answer of the guest', lambda: 'so-42-so' in text_of(driver, '#console .xterm-rows'))

        ask = driver.find_element('css selector', '#ask')
        ask.send_keys('how many kernel threads are running?\n')
        answer = until('an answer', lambda: text_of(driver, '#answer-text'))
        kthreads = sum(row['kthread'] for row in server.get(f'/api/v1/vms/{guest.name}/ps'))
        assert str(kthreads) in answer and 'camera=' not in driver.current_url
        ask.clear()
        ask.send_keys('which process uses the most memory?\n')
        until('a flight to that process', lambda: 'has the largest' in text_of(driver, '#answer-text') and 'camera=' in driver.current_url)

        until('pictures by the server', lambda: 'drawn by the server' in text_of(driver, '#hud'))

        server.stop()
        until('the loss is said', lambda: 'reconnecting' in text_of(driver, '#link'))
        server.start(server.port)
        until('the page is back', lambda: not text_of(driver, '#link'))

        status, _, body = server.change(f'/api/v1/vms/{guest.name}/reset')
        assert status == 200, body
        until('processes after the reset', lambda: (1, 'init') in {tuple(r) for r in page.shown_processes(driver)})
        assert not page.complaints(driver)
