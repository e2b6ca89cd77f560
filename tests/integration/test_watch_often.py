"""A watch that looks a hundred times a second sees what lives for a moment, without looking at everything each time."""
import json
import subprocess

import house


def test_short_lives_are_seen(fresh_guest):
    guest = fresh_guest('--mem', '128M')
    with subprocess.Popen([house.GLASSBOX, 'watch', guest.name, '--interval-ms', '10', '--json'], stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True, env={**house.os.environ, **guest.env}) as watch:
        guest.sh('sleep 2; sleep 0.2; mkdir /tmp/m; mount -t tmpfs brief /tmp/m; sleep 0.2; umount /tmp/m; '
                 '(sleep 1 | nc -l -p 999 >/dev/null 2>&1 &); sleep 2')
        watch.terminate()
        said, complaints = watch.communicate(timeout=house.HANG)
    assert not complaints, complaints
    changes = [json.loads(line) for line in said.splitlines()]

    def seen(table, **wanted):
        return {row['change'] for row in changes
                if row['table'] == table and all(row['row'][name] == value for name, value in wanted.items())}

    both = {'began', 'ended'}
    assert seen('processes', comm='sleep', args='sleep 0.2') == both
    assert seen('mounts', mountpoint='/tmp/m') == both
    assert 'began' in seen('sockets', local='0.0.0.0:999') | seen('sockets', local='[::]:999')
