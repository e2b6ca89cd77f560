#!/usr/bin/python3
"""Checks the shape of the C sources: which room includes which, private headers, sizes of files and functions, calls
that are not allowed. With --strict (what `make lint` runs), also that every header compiles alone, and a file that is
up to a tenth too long is a problem and not a warning."""
import os
import re
import subprocess
import sys

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LEVELS = [{'base'}, {'vm', 'guest', 'trace', 'mcode', 'gpu'}, {'facts', 'viz', 'learn', 'offload'}, {'box'}, {'server'},
          {'cli'}]
LEVEL = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
# Inside one level rooms do not know each other, but for these.
EXCEPTIONS = {('viz', 'facts'), ('offload', 'learn')}
MAX_LINES = {'.c': 600, '.h': 250}
MAX_FUNCTION = 100
BANNED = re.compile(r'(?<![\w.>])(strcpy|strcat|strncat|sprintf|vsprintf|gets|atol|atoll|alloca|setjmp|longjmp|'
                    r'tmpnam|mktemp|strtok)\s*\(')
BANNED_EXEMPT = ('tests/', 'guest/',  # programs that are no part of the product
                 'src/learn/vex.c')  # libVEX wants an exit that does not return

problems = []
warnings = []


def problem(path, line, text):
    problems.append(f'{path}:{line}: {text}')


def tracked(*patterns):
    out = subprocess.run(['git', '-C', TOP, 'ls-files', '-co', '--exclude-standard', '--', *patterns], check=True,
                         stdout=subprocess.PIPE).stdout.decode()
    return sorted(f for f in out.splitlines() if os.path.exists(os.path.join(TOP, f)))


def room_of(path):
    parts = path.split('/')
    return parts[1] if parts[0] == 'src' and len(parts) > 2 else parts[0]


def may_include(room, other):
    if room == other:
        return True
    if room == 'plugin':
        return False
    if other == 'plugin' or room not in LEVEL or other not in LEVEL:
        return True
    return LEVEL[other] < LEVEL[room] or (room, other) in EXCEPTIONS


def check_includes(path, lines):
    room = room_of(path)
    for number, line in enumerate(lines, 1):
        found = re.match(r'\s*#\s*include\s+"([^"]+)"', line)
        if not found or '/' not in found.group(1):
            continue
        target = found.group(1)
        other = target.split('/')[0]
        if other not in LEVEL and other != 'plugin':
            continue
        if not may_include(room, other):
            problem(path, number, f'room {room} may not include "{target}"')
        if target.endswith('/internal.h') and other != room and room != 'tests':
            problem(path, number, f'"{target}" is private to room {other}')


def check_length(path, lines):
    limit = MAX_LINES[os.path.splitext(path)[1]]
    if len(lines) <= limit or 'size-ok:' in lines[0]:
        return
    text = f'{len(lines)} lines, at most {limit}: split it by object or pass'
    if len(lines) > limit * 1.1 or '--strict' in sys.argv[1:]:
        problem(path, len(lines), text)
    else:
        warnings.append(f'{path}:{len(lines)}: warning: {text}')


def check_functions(path, lines):
    start = None
    for number, line in enumerate(lines, 1):
        if line.rstrip() == '{' and number > 1 and lines[number - 2].rstrip().endswith(')'):
            start = number
        elif line.startswith('}') and start:
            if number - start - 1 > MAX_FUNCTION:
                problem(path, start, f'a function of {number - start - 1} lines, at most {MAX_FUNCTION}')
            start = None


def check_banned(path, text):
    if path.startswith(BANNED_EXEMPT):
        return
    # Comments and strings may talk about anything.
    plain = re.sub(r'/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\\n])*"', lambda m: re.sub(r'[^\n]', ' ', m.group(0)), text, flags=re.S)
    for found in BANNED.finditer(plain):
        problem(path, plain.count('\n', 0, found.start()) + 1, f'{found.group(1)} is not allowed')


def pkg_config_flags():
    names = ['jansson', 'libwebsockets', 'sqlite3', 'libpq', 'libpng', 'vulkan', 'zydis', 'cmocka', 'unicorn']
    flags = []
    for name in names:
        done = subprocess.run(['pkg-config', '--cflags', name], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                              check=False)
        flags += done.stdout.decode().split()
    return flags


def check_headers(headers):
    flags = ['-std=gnu17', '-D_GNU_SOURCE', '-DGB_API=7', '-fsyntax-only', '-Wall', '-Werror', '-Wno-unused-function',
             '-xc', '-I' + os.path.join(TOP, 'src'), '-I' + TOP, '-I' + os.path.join(TOP, 'tests/unit')]
    flags += pkg_config_flags()
    for path in headers:
        # The second inclusion finds a missing guard.
        text = f'#include "{os.path.join(TOP, path)}"\n' * 2
        done = subprocess.run(['gcc', *flags, '-'], input=text.encode(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              check=False)
        if done.returncode:
            problem(path, 1, 'does not compile alone: ' + done.stdout.decode().splitlines()[0][:200])


def main():
    files = tracked('src/*.[ch]', 'plugin/*.[ch]', 'tests/*.[ch]', 'guest/*.[ch]')
    for path in files:
        with open(os.path.join(TOP, path), encoding='utf-8', errors='replace') as f:
            text = f.read()
        lines = text.splitlines()
        check_includes(path, lines)
        check_length(path, lines)
        check_functions(path, lines)
        check_banned(path, text)
    if '--strict' in sys.argv[1:]:
        check_headers([f for f in files if f.endswith('.h')])
    for line in warnings + problems:
        print(line)
    print(f'check_rooms: {len(files)} files, {len(problems)} problems')
    return 1 if problems else 0


if __name__ == '__main__':
    sys.exit(main())
