#include "test.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/own.h"
#include "vm/console.h"

struct fixture {
	struct console *console;
	int guest, terminal;
};

/* Until there is nothing to do. */
static void handle(struct fixture *f)
{
	struct pollfd polls[CONSOLE_POLLS];
	for (;;) {
		size_t n = console_polls(f->console, polls);
		if (poll(polls, n, 0) <= 0)
			return;
		console_handle(f->console, polls, n);
	}
}

static int setup(void **state)
{
	struct fixture *f = calloc(1, sizeof(*f));
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int pair[2], listener = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_non_null(f);
	snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "glassbox-test-%d",
		 (int)getpid());
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	assert_int_equal(listen(listener, 4), 0);
	f->guest = pair[0];
	assert_ok(console_create(
		&(struct console_params){ .serial_fd = pair[1],
					  .listen_fd = listener,
					  .log_fd = memfd_create("log", MFD_CLOEXEC) },
		&f->console));
	f->terminal = socket(AF_UNIX, SOCK_STREAM, 0);
	assert_int_equal(connect(f->terminal, (struct sockaddr *)&address, sizeof(address)), 0);
	handle(f);
	*state = f;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	console_destroy(f->console);
	close(f->guest);
	close(f->terminal);
	free(f);
	return 0;
}

static char letter(size_t at)
{
	return (char)('a' + at * 7 % 26 + at / 4096 % 3);
}

/* A few bytes at a time, as a serial line does. */
static void print(struct fixture *f, size_t from, size_t bytes)
{
	enum { PIECE = 16 };
	for (size_t at = from; at < from + bytes; at += PIECE) {
		char piece[PIECE];
		for (size_t i = 0; i < PIECE; i++)
			piece[i] = letter(at + i);
		assert_int_equal(send(f->guest, piece, PIECE, 0), PIECE);
		handle(f);
	}
}

/* Nobody reads while far more is printed than a socket holds: all of it comes. */
static void a_slow_terminal_misses_nothing(void **state)
{
	enum { BYTES = 600 << 10 };
	struct fixture *f = *state;
	size_t have = 0;
	print(f, 0, BYTES);
	while (have < BYTES) {
		char bytes[5000];
		ssize_t got = recv(f->terminal, bytes, sizeof(bytes), MSG_DONTWAIT);
		assert_true(got > 0);
		for (ssize_t i = 0; i < got; i++)
			assert_int_equal(bytes[i], letter(have + (size_t)i));
		have += (size_t)got;
		handle(f);
	}
	print(f, have, 64);
	char last[65];
	assert_int_equal(recv(f->terminal, last, sizeof(last), MSG_DONTWAIT), 64);
}

static void a_terminal_that_stands_still_is_let_go(void **state)
{
	struct fixture *f = *state;
	char bytes[65536];
	ssize_t got;
	print(f, 0, 3 << 20);
	while ((got = recv(f->terminal, bytes, sizeof(bytes), MSG_DONTWAIT)) > 0)
		;
	assert_int_equal(got, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_slow_terminal_misses_nothing, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_terminal_that_stands_still_is_let_go, setup,
						teardown),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
