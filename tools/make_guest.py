#!/usr/bin/python3
"""Packs a demo guest: initrd.img (newc cpio), vmlinux for PVH entry, vmlinuz, profile.json. Same input, same bytes."""
import argparse
import json
import lzma
import os
import re
import shutil
import struct
import subprocess
import sys
import zlib

# Under TCG, what a boot spends its time on; measured one by one (docs/guests.md).
APPEND = ('console=ttyS0 quiet loglevel=3 reboot=t panic=-1 cryptomgr.notests lsm= audit=0 numa=off nowatchdog psi=0 '
          'noreplace-smp init_on_alloc=0 cgroup_disable=memory,hugetlb,rdma cgroup.memory=nokmem')
# Start-up work of the kernel that the demo has no use for: tracing, /sys/kernel/slab (1.5 MB), hooks for BPF programs (each of which would parse
# all types of the kernel), self tests, certificates. Names that a kernel lacks are ignored by it.
BLACKLIST = (
    'tracer_init_tracefs slab_sysfs_init init_kprobe_trace init_uprobe_trace init_kprobe_trace_early init_fprobe_trace_early '
    'trace_events_eprobe_init_early trace_events_synth_init_early trace_events_synth_init event_trace_enable_again '
    'trace_eval_init init_blk_tracer debugfs_kprobe_init '
    'bpf_rstat_kfunc_init bpf_key_sig_kfuncs_init kfunc_init bpf_kprobe_multi_kfuncs_init bpf_trace_kfuncs_init '
    'bpf_global_ma_init cpumask_kfunc_init crypto_kfunc_init bpf_fs_kfuncs_init bpf_kfunc_init bpf_prog_test_run_init '
    'bpf_dummy_struct_ops_init bpf_tcp_ca_kfunc_init bpf_mptcp_kfunc_init rqspinlock_register_kfuncs '
    'bpf_qdisc_kfunc_init bpf_crypto_skcipher_init bpf_memcontrol_init bpf_kmem_cache_iter_init io_uring_bpf_init '
    'bpf_map_iter_init bpf_prog_iter_init bpf_link_iter_init bpf_cgroup_iter_init bpf_ksym_iter_register '
    'bpf_sockmap_iter_init bpf_sk_storage_map_iter_init tcp_bpf_v4_build_proto udp_bpf_v4_build_proto '
    'cubictcp_register crypto_kdf108_init load_system_certificate_list init_encrypted').split()
# Loaded at boot; the others of kernels.sh wait in /lib/modules for who needs them.
BOOT_MODULES = ['virtio_pci', 'virtio_mmio', 'virtio_blk', 'virtio_net', 'loop', 'dummy']
BUSYBOX_SBIN = {'init', 'insmod', 'rmmod', 'lsmod', 'syslogd', 'klogd', 'reboot', 'poweroff', 'halt', 'ip',
                'ifconfig', 'route', 'udhcpc', 'telnetd', 'losetup', 'start-stop-daemon', 'crond', 'sulogin', 'getty',
                'sysctl', 'switch_root', 'watchdog', 'mkswap', 'swapon', 'swapoff', 'hwclock', 'fdisk', 'depmod'}


def fail(text):
    sys.exit(f'make_guest: error: {text}')


def run_filter(command, data):
    done = subprocess.run(command, input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE, check=False)
    if not done.stdout:
        fail(f'{command[0]}: {done.stderr.decode().strip() or "no output"}')
    return done.stdout


def decompress(data):
    """Undoes whichever compression the first bytes name; trailing bytes after the stream are ignored."""
    if data[:4] == b'\x02\x21\x4c\x18':
        return run_filter(['lz4', '-dc'], data)
    if data[:4] == b'\x28\xb5\x2f\xfd':
        return run_filter(['zstd', '-dcq'], data)
    if data[:6] == b'\xfd7zXZ\x00':
        return lzma.LZMADecompressor().decompress(data)
    if data[:2] == b'\x1f\x8b':
        return zlib.decompressobj(31).decompress(data)
    if data[:3] == b'\x5d\x00\x00':
        return lzma.LZMADecompressor(lzma.FORMAT_ALONE).decompress(data)
    return data


def bzimage_payload(image):
    """The compressed kernel inside a bzImage, by its setup header; the last 4 bytes (the size) are not part of it."""
    if len(image) < 0x260 or image[0x202:0x206] != b'HdrS':
        fail('not a bzImage')
    sectors = image[0x1f1] or 4
    offset, length = struct.unpack_from('<II', image, 0x248)
    start = (sectors + 1) * 512 + offset
    return image[start:start + length - 4]


def has_pvh_note(elf):
    """Whether an ELF kernel carries the Xen PHYS32_ENTRY note (18), which QEMU starts it by."""
    wide = elf[4] == 2
    if wide:
        phoff, = struct.unpack_from('<Q', elf, 32)
        size, count = struct.unpack_from('<HH', elf, 54)
    else:
        phoff, = struct.unpack_from('<I', elf, 28)
        size, count = struct.unpack_from('<HH', elf, 42)
    for i in range(count):
        at = phoff + i * size
        kind, = struct.unpack_from('<I', elf, at)
        offset, length = (struct.unpack_from('<Q', elf, at + 8)[0], struct.unpack_from('<Q', elf, at + 32)[0]) \
            if wide else (struct.unpack_from('<I', elf, at + 4)[0], struct.unpack_from('<I', elf, at + 16)[0])
        if kind != 4:
            continue
        end = offset + length
        while offset + 12 <= end:
            name, desc, note = struct.unpack_from('<III', elf, offset)
            if note == 18 and elf[offset + 12:offset + 15] == b'Xen':
                return True
            offset += 12 + (name + 3) // 4 * 4 + (desc + 3) // 4 * 4
    return False


class Cpio:
    """A newc archive with fixed owners, times and inode numbers."""

    def __init__(self):
        self.out = bytearray()
        self.inode = 0

    def entry(self, name, mode, data=b'', device=(0, 0), owner=(0, 0)):
        self.inode += 1
        raw = name.encode() + b'\0'
        fields = (self.inode, mode, owner[0], owner[1], 2 if mode & 0o170000 == 0o040000 else 1, 0, len(data), 0, 0,
                  device[0], device[1], len(raw), 0)
        self.out += b'070701' + b''.join(b'%08x' % f for f in fields) + raw
        self.out += b'\0' * (-len(self.out) % 4) + data
        self.out += b'\0' * (-len(self.out) % 4)

    def finish(self):
        self.inode = 0
        self.entry('TRAILER!!!', 0)
        return bytes(self.out) + b'\0' * (-len(self.out) % 512)


def module_name(path):
    return os.path.basename(path).split('.ko')[0].replace('-', '_')


def load_modules(directory):
    """name -> (bytes, names it depends on), decompressed, without signatures."""
    modules = {}
    for name in sorted(os.listdir(directory)):
        with open(os.path.join(directory, name), 'rb') as f:
            data = decompress(f.read())
        found = re.search(rb'\0depends=([^\0]*)\0', data)
        depends = [d.replace('-', '_') for d in found.group(1).decode().split(',') if d] if found else []
        modules[module_name(name)] = (data, depends)
    return modules


def closure(modules, wanted):
    """The wanted modules and what they need, dependencies first; a module whose needs are absent is left out."""
    order = []

    def visit(name, path):
        if name in order:
            return True
        if name not in modules or name in path:
            return False
        if not all(visit(d, path + [name]) for d in modules[name][1]):
            return False
        order.append(name)
        return True

    for name in wanted:
        visit(name, [])
    return order


def busybox_applets(busybox):
    """The applet names, read from the binary itself by running it, or, for a foreign one, from the host's."""
    for program in (busybox, '/bin/busybox'):
        try:
            text = subprocess.run([program, '--list'], stdout=subprocess.PIPE, check=True).stdout.decode()
            return sorted(a for a in text.split() if a != 'busybox')
        except (OSError, subprocess.CalledProcessError):
            continue
    return fail('busybox does not run here')


def read(path):
    with open(path, 'rb') as f:
        return f.read()


def make_initrd(args, modules):
    tree = {}  # name -> (mode, data, device, owner)

    def directory(name, mode=0o755, owner=(0, 0)):
        tree[name] = (0o040000 | mode, b'', (0, 0), owner)

    def file(name, data, mode=0o644):
        tree[name] = (0o100000 | mode, data, (0, 0), (0, 0))

    for name in ('bin', 'dev', 'etc', 'home', 'lib', 'lib/modules', 'mnt', 'proc', 'run', 'sbin', 'sys', 'tmp', 'var',
                 'var/log', 'var/run', 'var/spool', 'var/spool/cron', 'var/spool/cron/crontabs', 'www'):
        directory(name)
    directory('root', 0o700)
    directory('home/alice', 0o700, (1000, 1000))
    directory('home/bob', 0o700, (1001, 1001))
    directory('tmp', 0o1777)
    tree['dev/console'] = (0o020600, b'', (5, 1), (0, 0))
    tree['dev/null'] = (0o020666, b'', (1, 3), (0, 0))
    file('bin/busybox', read(args.busybox), 0o755)
    for applet in busybox_applets(args.busybox):
        where = 'sbin' if applet in BUSYBOX_SBIN else 'bin'
        tree[f'{where}/{applet}'] = (0o120777, b'/bin/busybox', (0, 0), (0, 0))
    for program in sorted(os.listdir(args.programs)):
        file(f'bin/{program}', read(os.path.join(args.programs, program)), 0o755)
    file('init', read(os.path.join(args.files, 'init')), 0o755)
    for folder in ('etc', 'www'):
        for name in sorted(os.listdir(os.path.join(args.files, folder))):
            file(f'{folder}/{name}', read(os.path.join(args.files, folder, name)), 0o755 if name == 'rcS' else 0o644)
    order = closure(modules, sorted(modules))
    for name in order:
        file(f'lib/modules/{name}.ko', modules[name][0])
    boot = closure(modules, BOOT_MODULES)
    file('lib/modules/boot.list', ''.join(f'{m}.ko\n' for m in boot).encode())
    file('lib/modules/order.list', ''.join(f'{m}.ko\n' for m in order).encode())
    archive = Cpio()
    for name in sorted(tree):
        mode, data, device, owner = tree[name]
        archive.entry(name, mode, data, device, owner)
    return archive.finish()


def write(path, data):
    with open(path, 'wb') as f:
        f.write(data)


def kernel_banner(elf):
    found = re.search(rb'Linux version \d[^\n\0]{10,300}', elf)
    return found.group(0).decode(errors='replace') if found else None


def min_mem(banner, pvh):
    """Measured: the least MB in which a cloud kernel of that series reaches its daemons, entered by PVH."""
    series = '.'.join(banner.split()[2].split('.')[:2]) if banner else ''
    return {'5.10': 64, '6.1': 68, '6.12': 72}.get(series, 88) if pvh else 96


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ('profile', 'title', 'arch', 'kernel', 'busybox', 'programs', 'files', 'out'):
        parser.add_argument(f'--{name}', required=True)
    args = parser.parse_args()
    image = read(os.path.join(args.kernel, 'vmlinuz'))
    elf = decompress(bzimage_payload(image))
    if elf[:4] != b'\x7fELF':
        fail('no ELF kernel inside the image')
    pvh = has_pvh_note(elf)
    write(os.path.join(args.out, 'vmlinux'), elf)
    shutil.copyfile(os.path.join(args.kernel, 'vmlinuz'), os.path.join(args.out, 'vmlinuz'))
    initrd = make_initrd(args, load_modules(os.path.join(args.kernel, 'modules')))
    # Packed, it leaves enough room for itself and its contents in 64 MB; LZ4 costs the boot about 10 ms.
    packed = run_filter(['lz4', '-l', '-9', '-c'], initrd)
    # QEMU puts it on a page boundary so that it ends in the last page of RAM, where a microvm also has its ACPI tables.
    # This length keeps all but 16 bytes of that page free; the kernel skips zeroes after an archive.
    packed += b'\0' * ((16 - len(packed)) % 4096)
    write(os.path.join(args.out, 'initrd.img'), packed)
    banner = kernel_banner(elf)
    machine = 'microvm,acpi=off,pcie=off,rtc=on' if pvh else 'q35'
    profile = {
        'profile': args.profile, 'title': args.title, 'arch': args.arch,
        'package': read(os.path.join(args.kernel, 'package')).decode().strip(),
        'release': banner.split()[2] if banner else None, 'banner': banner, 'pvh': pvh,
        'vmlinuz': 'vmlinuz', 'vmlinux': 'vmlinux', 'initrd': 'initrd.img',
        # Debian's kernels find the devices of a microvm only by ACPI, so a guest with any has that machine.
        'machine': machine, 'machine_devices': 'microvm,rtc=on' if pvh else 'q35', 'min_mem_mb': min_mem(banner, pvh),
        'append': APPEND + ' initcall_blacklist=' + ','.join(BLACKLIST),
        'append_kaslr': 'console=ttyS0 quiet reboot=t panic=-1 cryptomgr.notests',
        'first_line': 'glassbox guest: userspace', 'ready_line': 'glassbox guest: ready',
    }
    write(os.path.join(args.out, 'profile.json'), (json.dumps(profile, indent=1) + '\n').encode())


if __name__ == '__main__':
    main()
