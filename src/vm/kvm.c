#include "vm/kvm.h"

#include <fcntl.h>
#include <linux/kvm.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/own.h"

#define TEST_PORT 0x10
#define TEST_VALUE 0x5a
#define DEADLINE_MS 500

/* A loop of a million steps, which emulation would take far too long for; then the answer on a
 * port. 16-bit code: mov ecx,1000000; dec ecx; jnz; mov al,0x5a; out 0x10,al; hlt */
static const uint8_t test_code[] = { 0x66, 0xb9, 0x40, 0x42,	   0x0f, 0x00,	    0x66, 0x49,
				     0x75, 0xfc, 0xb0, TEST_VALUE, 0xe6, TEST_PORT, 0xf4 };

static bool set_up_memory(int vm)
{
	uint8_t *memory =
		mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (memory == MAP_FAILED)
		return false;
	memcpy(memory, test_code, sizeof(test_code));
	struct kvm_userspace_memory_region region = { .guest_phys_addr = 0x1000,
						      .memory_size = 4096,
						      .userspace_addr = (uintptr_t)memory };
	return !ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region);
}

static bool set_up_registers(int vcpu)
{
	struct kvm_sregs special;
	if (ioctl(vcpu, KVM_GET_SREGS, &special))
		return false;
	special.cs.base = 0;
	special.cs.selector = 0;
	struct kvm_regs general = { .rip = 0x1000, .rflags = 2 };
	return !ioctl(vcpu, KVM_SET_SREGS, &special) && !ioctl(vcpu, KVM_SET_REGS, &general);
}

static bool run_test(void)
{
	int kvm = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	int vm = kvm < 0 ? -1 : ioctl(kvm, KVM_CREATE_VM, 0);
	if (vm < 0 || !set_up_memory(vm))
		return false;
	int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
	int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0);
	if (vcpu < 0 || size <= 0 || !set_up_registers(vcpu))
		return false;
	struct kvm_run *run =
		mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
	if (run == MAP_FAILED || ioctl(vcpu, KVM_RUN, 0))
		return false;
	return run->exit_reason == KVM_EXIT_IO && run->io.port == TEST_PORT &&
	       *((uint8_t *)run + run->io.data_offset) == TEST_VALUE;
}

bool kvm_self_test(void)
{
	pid_t child = fork();
	if (child < 0)
		return false;
	if (!child)
		_exit(run_test() ? 0 : 1);
	AUTO(own_fd) int fd = (int)syscall(SYS_pidfd_open, child, 0);
	struct pollfd wait = { .fd = fd, .events = POLLIN };
	int status = -1;
	bool ended = fd >= 0 && poll(&wait, 1, DEADLINE_MS) > 0;
	if (!ended)
		kill(child, SIGKILL);
	waitpid(child, &status, 0);
	return ended && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}
