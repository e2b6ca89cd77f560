#!/usr/bin/python3
"""append_files.py INITRD FOLDER WHERE: an initrd with the files of a folder behind its own, as the kernel unpacks them; to stdout."""
import os
import sys

from make_guest import Cpio, read


def main(initrd, folder, where):
    archive = Cpio()
    parts = where.split('/')
    for n in range(1, len(parts) + 1):
        archive.entry('/'.join(parts[:n]), 0o040755)
    for name in sorted(os.listdir(folder)):
        archive.entry(f'{where}/{name}', 0o100755, read(os.path.join(folder, name)))
    first = read(initrd)
    sys.stdout.buffer.write(first + b'\0' * (-len(first) % 4) + archive.finish())


if __name__ == '__main__':
    main(*sys.argv[1:])
