#!/usr/bin/python3
"""What the learner makes of real programs in a running guest: boots the demo guest with programs of this Debian (and C
loops compiled by gcc and clang at -O0, -O2, -O3), lets each work while `glassbox learn` watches, and tells for every hot
loop what became of it.

    tests/integration/learn_programs.py [--markdown] [--json FILE] [--ms MS] [--cases N] [PROGRAM...]
"""
import argparse
import collections
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / 'tools'))
import house  # noqa: E402
from make_guest import Cpio  # noqa: E402

ALL = ' '.join(['/data/all'] * 40)  # a process must live as long as it is watched

# Program to put into the guest, what it does there over and over. `busybox` and `workload` are in the guest already.
JOBS = [
    ('workload', None, 'workload all 16384 1000'),
    ('busybox', None, 'busybox md5sum /data/all'),
    ('busybox', None, 'busybox sha1sum /data/all'),
    ('busybox', None, 'busybox cksum /data/all'),
    ('busybox', None, 'busybox gzip -c /data/all'),
    ('busybox', None, 'busybox bzip2 -c /data/all'),
    ('busybox', None, 'busybox sort /data/text'),
    ('busybox', None, 'busybox tr a-z A-Z </data/all'),
    ('busybox', None, 'busybox od -An -tx1 /data/all'),
    ('busybox', None, 'busybox wc /data/all'),
    ('gzip', '/usr/bin/gzip', 'gzip -c /data/all'),
    ('gzip', '/usr/bin/gzip', 'gzip -dc /data/all.gz'),
    ('bzip2', '/usr/bin/bzip2', 'bzip2 -c /data/all'),
    ('bzip2', '/usr/bin/bzip2', 'bzip2 -dc /data/all.bz2'),
    ('xz', '/usr/bin/xz', 'xz -3 -c /data/all'),
    ('zstd', '/usr/bin/zstd', 'zstd -q -5 -c /data/all'),
    ('lz4', '/usr/bin/lz4', 'lz4 -9 -q -c /data/all'),
    ('sha256sum', '/usr/bin/sha256sum', f'sha256sum {ALL}'),
    ('sha1sum', '/usr/bin/sha1sum', f'sha1sum {ALL}'),
    ('md5sum', '/usr/bin/md5sum', f'md5sum {ALL}'),
    ('b2sum', '/usr/bin/b2sum', f'b2sum {ALL}'),
    ('cksum', '/usr/bin/cksum', f'cksum {ALL}'),
    ('sum', '/usr/bin/sum', f'sum {ALL}'),
    ('wc', '/usr/bin/wc', 'wc /data/text'),
    ('base64', '/usr/bin/base64', 'base64 /data/all'),
    ('od', '/usr/bin/od', 'od -An -tx1 /data/all'),
    ('tr', '/usr/bin/tr', 'tr a-z A-Z </data/all'),
    ('sort', '/usr/bin/sort', 'sort /data/text'),
    ('tac', '/usr/bin/tac', 'tac /data/text'),
    ('openssl', '/usr/bin/openssl', f'openssl dgst -sha3-256 {ALL}'),
    ('openssl', '/usr/bin/openssl', 'openssl enc -aes-128-cbc -K 00 -iv 00 -in /data/all 2>/dev/null'),
    ('sqlite3', '/usr/bin/sqlite3', 'sqlite3 :memory: "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x+1 FROM c '
     'WHERE x<200000) SELECT count(DISTINCT hex(x)||lower(upper(x))) FROM c"'),
    ('mawk', '/usr/bin/mawk', "mawk '{ n += NF; s[$1]++ } END { print n, length(s) }' /data/text"),
    ('perl', '/usr/bin/perl', "perl -e '$_ = join(q(), map { chr(65 + $_ % 26) } 1..200000); for my $i (1..50) { tr/A-M/N-Z/; "
     "$c += () = /NO/g; $_ = reverse }'"),
    ('grep', '/usr/bin/grep', f'grep -c -i walk[a-z]*zz {ALL}'),
    ('cmp', '/usr/bin/cmp', 'cmp /data/all /data/copy'),
    ('convert', '/usr/bin/convert-im6.q16', 'convert /data/image.ppm -resize 300x200 -modulate 110 -negate ppm:-'),
    ('cjpeg', '/usr/bin/cjpeg', 'cjpeg /data/image.ppm'),
    ('djpeg', '/usr/bin/djpeg', 'djpeg -scale 8/8 /data/image.jpg'),
]
COMPILERS = [(name, level) for name in ('gcc', 'clang') for level in ('O0', 'O2', 'O3')]
OURS = {'workload', *(f'{c}-{level}' for c, level in COMPILERS)}


def compiled(folder):
    """The same C program, made by every compiler that is here."""
    jobs = []
    source = house.TOP / 'tests/programs/learn_loops.c'
    for compiler, level in COMPILERS:
        command = shutil.which(compiler) or shutil.which(f'{compiler}-14')
        if not command:
            continue
        name = f'{compiler}-{level}'
        subprocess.run([command, f'-{level}', '-std=gnu17', '-o', folder / name, source], check=True)
        jobs.append((name, str(folder / name), f'{name} 100000000'))
    return jobs


def libraries(path):
    """The shared objects a program is loaded with."""
    done = subprocess.run(['ldd', path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False)
    words = [w for line in done.stdout.splitlines() for w in line.split() if w.startswith('/')]
    return sorted(set(words))


def data_files(folder):
    """Input of the programs: the same bytes every time."""
    generator = random.Random(1)
    words = [''.join(generator.choice('abcdefghijklmnoprstuvwz') for _ in range(generator.randint(2, 9))) for _ in range(3000)]
    text = '\n'.join(' '.join(generator.choice(words) for _ in range(generator.randint(3, 14))) for _ in range(40000)) + '\n'
    image = b'P6\n2000 1500\n255\n' + bytes((x * (c + 3) + y * (5 - c) + (x * y >> (5 + c))) & 255
                                          for y in range(1500) for x in range(2000) for c in range(3))
    everything = text.encode() + generator.randbytes(1 << 20) + image[:1 << 20] + bytes(1 << 20)
    files = {'text': text.encode(), 'all': everything, 'copy': everything, 'image.ppm': image}
    for name, command in (('all.gz', ['gzip', '-c']), ('all.bz2', ['bzip2', '-c'])):
        files[name] = subprocess.run(command, input=everything, stdout=subprocess.PIPE, check=True).stdout
    jpeg = shutil.which('cjpeg')
    if jpeg:
        files['image.jpg'] = subprocess.run([jpeg], input=image, stdout=subprocess.PIPE, check=True).stdout
    return files


def make_initrd(profile, jobs, target):
    """The guest's own initrd and, behind it, an archive with programs, their libraries and data."""
    archive, folders = Cpio(), set()

    def add(name, data, mode=0o100755):
        parts = pathlib.PurePosixPath(name).parents
        for parent in reversed([str(p) for p in parts if str(p) != '.']):
            if parent not in folders:
                folders.add(parent)
                archive.entry(parent, 0o040755)
        archive.entry(name, mode, data)

    for name, data in data_files(target.parent).items():
        add(f'data/{name}', data, 0o100644)
    done = set()
    for name, path, _ in jobs:
        if not path or name in done:
            continue
        done.add(name)
        add(f'usr/local/bin/{name}', pathlib.Path(path).read_bytes())
        for library in libraries(path):
            if library not in done:
                done.add(library)
                add(library.lstrip('/'), pathlib.Path(library).read_bytes())
    for tree in sorted(pathlib.Path('/etc').glob('ImageMagick-6/*.xml')):
        add(str(tree).lstrip('/'), tree.read_bytes(), 0o100644)
    target.write_bytes((house.guest_files(profile) / 'initrd.img').read_bytes() + archive.finish())


def watch(guest, job, ms, top, cases):
    """Lets a program work, learns from it, ends it. Rows of `glassbox learn`."""
    name, _, command = job
    guest.sh(f'export PATH=/usr/local/bin:/bin:/sbin; (while :; do {command}; done) >/dev/null 2>&1 & job=$!')
    time.sleep(1)
    call = [house.GLASSBOX, 'learn', guest.name, '--ms', str(ms), '--top', str(top), '--cases', str(cases), '--json']
    try:
        rows = json.loads(subprocess.run(call, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, check=True,
                                         env={**os.environ, **guest.env}).stdout)
    finally:
        guest.console.run('kill -9 -$job; wait $job 2>/dev/null; true')  # a job of the shell is a process group
    return [dict(row, job=command, by=name) for row in rows]


def survey(env, programs=(), profile='5.10', ms=2500, top=60, cases=0, say=lambda text: None):
    """All rows of all jobs (of these programs), each with `job` and `by`."""
    rows = []
    with tempfile.TemporaryDirectory(prefix='glassbox-learn-') as work:
        work = pathlib.Path(work)
        jobs = [job for job in JOBS + compiled(work) if (not programs or job[0] in programs) and
                (not job[1] or os.path.exists(job[1]))]
        initrd = work / 'initrd.img'
        make_initrd(profile, jobs, initrd)
        guest = house.start(f'learn{os.getpid()}', env, '--learn', '--mem', '1024M', '--initrd', str(initrd), profile=profile)
        try:
            for job in jobs:
                start = time.monotonic()
                rows += watch(guest, job, ms, top, cases)
                mine = [r for r in rows if r['job'] == job[2]]
                outcomes = collections.Counter(r['outcome'] for r in mine)
                say(f'{job[2][:60]:60} {dict(outcomes)} {time.monotonic() - start:.0f} s')
        finally:
            guest.stop()
    return rows


def general(reason):
    """A reason without the registers and addresses of one loop."""
    words = [w for w in reason.replace(':', ' :').split() if not w.startswith('0x')]
    registers = {'rax', 'rbx', 'rcx', 'rdx', 'rsi', 'rdi', 'rbp', 'rsp', *(f'r{i}' for i in range(8, 16))}
    words = ['R' if w in registers else 'X' if w.startswith('xmm') else w for w in words]
    return ' '.join(words).replace(' :', ':').replace(' at', '') if words else ''


def kernels_of(rows):
    """One row per kernel: the first sight of it."""
    seen = {}
    for row in rows:
        if row['outcome'] in ('learned', 'known'):
            seen.setdefault(row['id'], row)
    return seen


def markdown(rows, say=print):
    kernels = kernels_of(rows)
    foreign = {i: r for i, r in kernels.items() if r['by'] not in OURS}
    say(f'{len(kernels)} different kernels, {len(foreign)} of them from programs of Debian; '
        f'{sum(r["outcome"] == "mismatch" for r in rows)} mismatches.\n')
    say('| program | hot loops | proved | refused |\n|---|---|---|---|')
    for by in dict.fromkeys(r['by'] for r in rows):
        mine = {(r['address'], r['outcome'] in ('learned', 'known')): r for r in rows if r['by'] == by}
        proved = sum(k[1] for k in mine)
        say(f'| {by} | {len(mine)} | {proved} | {len(mine) - proved} |')
    say('\n| loop | class | verdict |\n|---|---|---|')
    for row in kernels.values():
        say(f'| {row["by"]} {row["symbol"].split(" ", 1)[-1]} | {row.get("pattern") or "known"} | proved, {row["id"][:8]} |')
    refused = {(r['by'], r['address'], r['reason']) for r in rows if r['outcome'] == 'refused'}
    say('\n| refused | why |\n|---|---|')
    for reason, count in collections.Counter(general(r[2]) for r in refused).most_common():
        say(f'| {count} | {reason} |')


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('programs', nargs='*', help='only these')
    parser.add_argument('--markdown', action='store_true', help='print the tables of docs/learning.md')
    parser.add_argument('--json', type=pathlib.Path, help='write all rows here')
    parser.add_argument('--ms', type=int, default=2500)
    parser.add_argument('--top', type=int, default=60)
    parser.add_argument('--cases', type=int, default=0, help='tests per kernel; 10 000 if not given')
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix='gb-') as folder:
        env = {'XDG_RUNTIME_DIR': folder, 'XDG_DATA_HOME': f'{folder}/data'}
        rows = survey(env, options.programs, ms=options.ms, top=options.top, cases=options.cases,
                      say=lambda text: print(text, file=sys.stderr, flush=True))
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1))
    if options.markdown:
        markdown(rows)


if __name__ == '__main__':
    main()
