/* Containers and units by the paths of their control groups. */
#include "guest/container.h"
#include "test.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static void containers(void **state)
{
	static const struct {
		const char *path, *name; /* NULL: none */
	} cases[] = {
		{ "/system.slice/docker-" ID ".scope", "docker 0123456789ab" },
		{ "/docker/" ID, "docker 0123456789ab" },
		{ "/kubepods/burstable/pod12-34/" ID, "kubernetes 0123456789ab" },
		{ "/kubepods.slice/kubepods-pod1.slice/cri-containerd-" ID ".scope",
		  "containerd 0123456789ab" },
		{ "/machine.slice/libpod-" ID ".scope/container", "podman 0123456789ab" },
		{ "/lxc.payload.web/init.scope", "lxc web" },
		{ "/lxc/web", "lxc web" },
		{ "/machine.slice/machine-sid.scope", "machine sid" },
		{ "/", NULL },
		{ "", NULL },
		{ "//", NULL },
		{ "/docker/short", NULL },
		{ "/docker-.scope", NULL },
		{ "/system.slice/ssh.service", NULL },
	};
	char name[64];
	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		bool found = container_of_path(cases[i].path, name, sizeof(name));
		assert_int_equal(found, cases[i].name != NULL);
		if (found)
			assert_string_equal(name, cases[i].name);
	}
}

static void units(void **state)
{
	char name[16];
	assert_true(unit_of_path("/system.slice/ssh.service", name, sizeof(name)));
	assert_string_equal(name, "ssh.service");
	assert_true(unit_of_path("/user.slice/user@0.service/app.slice/a.scope", name,
				 sizeof(name)));
	assert_string_equal(name, "a.scope");
	assert_true(unit_of_path("/a-very-long-name.service", name, sizeof(name)));
	assert_string_equal(name, "a-very-long-nam");
	assert_false(unit_of_path("/user.slice", name, sizeof(name)));
	assert_false(unit_of_path("/.service", name, sizeof(name)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(containers),
		cmocka_unit_test(units),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
