#include "test.h"

#include <string.h>

#include "vm/qemu.h"
#include "vm/qemu_cmdline.h"

/* Words are separated by '|' here and by NUL in /proc. */
static void parse(const char *line, struct qemu_cmdline *ret)
{
	char words[2048];
	size_t length = strlen(line) + 1;
	assert_true(length < sizeof(words));
	memcpy(words, line, length);
	for (char *at = words; *at; at++)
		if (*at == '|')
			*at = 0;
	assert_ok(qemu_cmdline_parse(words, length, ret));
}

static void plain_options(void **state)
{
	struct qemu_cmdline c;
	parse("/usr/bin/qemu-system-x86_64|-machine|q35|-m|4G|-smp|4,sockets=1|-name|a,x=y|"
	      "-enable-kvm|-qmp|unix:/run/a.sock,server=on,wait=off|-nographic",
	      &c);
	assert_string_equal(c.machine, "q35");
	assert_string_equal(c.name, "a");
	assert_string_equal(c.accel, "kvm");
	assert_string_equal(c.qmp_path, "/run/a.sock");
	assert_int_equal(c.mem_bytes, 4ull << 30);
	assert_int_equal(c.cpus, 4);
	assert_int_equal(c.ram.count, 0);
	assert_int_equal(qemu_cmdline_below_4g(&c), 0x80000000);
	qemu_cmdline_deinit(&c);
}

static void libvirt_with_json_objects_and_slots(void **state)
{
	struct qemu_cmdline c;
	parse("/usr/bin/qemu-system-x86_64|-name|guest=deb,debug-threads=on|-machine|"
	      "pc-q35-7.2,usb=off,dump-guest-core=off,memory-backend=pc.ram|-accel|kvm|-m|"
	      "size=2097152k,slots=16,maxmem=8388608k|-object|"
	      "{\"qom-type\":\"memory-backend-memfd\",\"id\":\"pc.ram\",\"share\":true,"
	      "\"size\":2147483648}|-chardev|socket,id=charmonitor,path=/var/lib/m.sock,"
	      "server=on|-mon|chardev=charmonitor,id=monitor,mode=control",
	      &c);
	assert_string_equal(c.name, "deb");
	assert_int_equal(c.mem_bytes, 2ull << 30);
	assert_string_equal(c.qmp_path, "/var/lib/m.sock");
	assert_int_equal(c.ram.count, 1);
	assert_int_equal(c.backends.items[0].kind, BACKEND_MEMFD);
	assert_int_equal(c.backends.items[0].size_bytes, 2147483648);
	qemu_cmdline_deinit(&c);
}

static void numa_nodes_in_order(void **state)
{
	struct qemu_cmdline c;
	parse("qemu-system-x86_64|-m|256|-object|memory-backend-ram,id=b,size=128M|-object|"
	      "memory-backend-file,id=a,size=128M,mem-path=/dev/shm/x,,y,share=on|-numa|"
	      "node,memdev=a|-numa|node,memdev=b",
	      &c);
	assert_int_equal(c.ram.count, 2);
	assert_int_equal(c.ram.items[0], 1);
	assert_int_equal(c.ram.items[1], 0);
	assert_string_equal(c.backends.items[1].path, "/dev/shm/x,y");
	assert_true(c.backends.items[1].is_shared);
	qemu_cmdline_deinit(&c);
}

static void only_qemu_is_qemu(void **state)
{
	static const char wrapped[] = "/x/ld-linux-x86-64.so.2\0--library-path\0/x\0/x/"
				      "qemu-system-x86_64\0-m\0";
	static const char editor[] = "vi\0qemu-system-x86_64\0";
	assert_true(qemu_cmdline_is_qemu(wrapped, sizeof(wrapped) - 1));
	assert_true(qemu_cmdline_is_qemu("/usr/libexec/qemu-kvm", 22));
	assert_false(qemu_cmdline_is_qemu(editor, sizeof(editor) - 1));
	assert_false(qemu_cmdline_is_qemu("", 0));
}

static void versions(void **state)
{
	struct qemu_binary qemu = { 0 };
	assert_true(qemu_parse_version("QEMU emulator version 11.1.2 (Debian 1:11)", &qemu));
	assert_int_equal(qemu.major, 11);
	assert_int_equal(qemu.micro, 2);
	assert_false(qemu_parse_version("QEMU emulator version x", &qemu));
	assert_false(qemu_parse_version("bash", &qemu));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_options),
		cmocka_unit_test(libvirt_with_json_objects_and_slots),
		cmocka_unit_test(numa_nodes_in_order),
		cmocka_unit_test(only_qemu_is_qemu),
		cmocka_unit_test(versions),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
