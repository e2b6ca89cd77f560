#include "test.h"

#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "vm/migration.h"
#include "vm/qmp.h"

#define GREETING "{\"QMP\": {\"version\": {}, \"capabilities\": []}}\r\n"

/* Answers each request line with the next text of a script; NULL hangs up. */
struct peer {
	int fd;
	const char *const *script;
	pthread_t thread;
};

static void put(int fd, const char *text)
{
	assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static void *play(void *user)
{
	struct peer *peer = user;
	char line[4096];
	put(peer->fd, *peer->script);
	for (const char *const *at = peer->script + 1; *at; at++) {
		if (read(peer->fd, line, sizeof(line)) <= 0)
			break;
		put(peer->fd, *at);
	}
	close(peer->fd);
	return NULL;
}

static int start_peer(struct peer *peer, const char *const *script)
{
	int pair[2];
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	*peer = (struct peer){ .fd = pair[1], .script = script };
	assert_int_equal(pthread_create(&peer->thread, NULL, play, peer), 0);
	return pair[0];
}

static void a_command_passes_over_events_and_late_answers(void **state)
{
	static const char *const script[] = {
		GREETING,
		"{\"return\": {}, \"id\": 1}\r\n",
		"{\"event\": \"STOP\"}\r\n{\"return\": 7, \"id\": 1}\r\n"
		"{\"return\": {\"status\": \"running\"}, \"id\": 2}\r\n",
		NULL,
	};
	struct peer peer;
	struct qmp *qmp = NULL;
	json_t *value = NULL, *event;
	bool closed = false;
	assert_ok(qmp_from_fd(start_peer(&peer, script), 2000, &qmp));
	assert_ok(qmp_command(qmp, "query-status", NULL, 2000, &value));
	assert_string_equal(json_string_value(json_object_get(value, "status")), "running");
	event = qmp_next_event(qmp, &closed);
	assert_non_null(event);
	assert_string_equal(json_string_value(json_object_get(event, "event")), "STOP");
	json_decref(event);
	json_decref(value);
	qmp_close(qmp);
	pthread_join(peer.thread, NULL);
}

static void fails_with(const char *const *script)
{
	struct peer peer;
	struct qmp *qmp = NULL;
	struct error *err = qmp_from_fd(start_peer(&peer, script), 300, &qmp);
	if (!err)
		err = qmp_command(qmp, "query-status", NULL, 300, NULL);
	qmp_close(qmp);
	pthread_join(peer.thread, NULL);
	assert_error(err, ERR_PEER);
}

static void a_bad_peer_is_an_error(void **state)
{
	static const char *const garbage[] = { "hello\n", NULL };
	static const char *const other[] = { "{\"hello\": 1}\n", NULL };
	static const char *const silent_end[] = { GREETING, NULL };
	static const char *const late_garbage[] = { GREETING, "{\"return\": {}, \"id\": 1}\n",
						    "[1, 2]\n", NULL };
	static const char *const hang_up[] = { GREETING, "{\"return\": {}, \"id\": 1}\n",
					       NULL };
	static const char *const half[] = { GREETING, "{\"return\": {}, \"id\": 1}\n",
					    "{\"return\": ", NULL };
	static const char *const refused[] = {
		GREETING, "{\"return\": {}, \"id\": 1}\n",
		"{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": 2}\n",
		NULL
	};
	fails_with(garbage);
	fails_with(other);
	fails_with(silent_end);
	fails_with(late_garbage);
	fails_with(hang_up);
	fails_with(half);
	fails_with(refused);
}

static void silence_ends_at_the_deadline(void **state)
{
	int pair[2];
	struct qmp *qmp = NULL;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_error(qmp_from_fd(pair[0], 50, &qmp), ERR_PEER);
	close(pair[1]);
}

#define HELLO GREETING, "{\"return\": {}, \"id\": 1}\n"
#define ANSWER(id, value) "{\"return\": " value ", \"id\": " #id "}\n"
#define REFUSAL(id, words)                                                                     \
	"{\"error\": {\"class\": \"GenericError\", \"desc\": \"" words "\"}, \"id\": " #id "}" \
	"\n"
#define OUR_NODE "[{\"node-name\": \"switch-glassbox-offload-off\"}]"
#define OUR_REASON "{\"blocked-reasons\": [\"used by node 'switch-glassbox-offload-off'\"]}"

static struct error *refuse(const char *const *script, bool *refuses_ret)
{
	struct peer peer;
	struct qmp *qmp = NULL;
	assert_ok(qmp_from_fd(start_peer(&peer, script), 2000, &qmp));
	struct error *err = migration_refuse(qmp, refuses_ret);
	qmp_close(qmp);
	pthread_join(peer.thread, NULL);
	return err;
}

static void migration_is_refused_or_it_is_said_that_it_is_not(void **state)
{
	static const char *const done[] = { HELLO,
					    ANSWER(2, "[]"),
					    ANSWER(3, "{\"fdset-id\": 0}"),
					    ANSWER(4, "{}"),
					    ANSWER(5, "{}"),
					    ANSWER(6, OUR_REASON),
					    NULL };
	static const char *const there[] = { HELLO, ANSWER(2, OUR_NODE), ANSWER(3, OUR_REASON),
					     NULL };
	/* A QEMU that opens such images, and migrates all the same. */
	static const char *const in_vain[] = { HELLO, ANSWER(2, OUR_NODE), ANSWER(3, "{}"),
					       ANSWER(4, "{}"), NULL };
	static const char *const no_driver[] = { HELLO,
						 ANSWER(2, "[]"),
						 ANSWER(3, "{\"fdset-id\": 0}"),
						 REFUSAL(4, "Unknown driver 'qcow'"),
						 ANSWER(5, "{}"),
						 NULL };
	static const char *const migrating[] = {
		HELLO,
		ANSWER(2, "[]"),
		ANSWER(3, "{\"fdset-id\": 0}"),
		REFUSAL(4, "disallowing migration blocker (migration/snapshot in progress)"),
		ANSWER(5, "{}"),
		NULL
	};
	bool refuses;
	assert_ok(refuse(done, &refuses));
	assert_true(refuses);
	assert_ok(refuse(there, &refuses));
	assert_true(refuses);
	assert_ok(refuse(in_vain, &refuses));
	assert_false(refuses);
	assert_ok(refuse(no_driver, &refuses));
	assert_false(refuses);
	assert_error(refuse(migrating, &refuses), ERR_PEER);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_command_passes_over_events_and_late_answers),
		cmocka_unit_test(a_bad_peer_is_an_error),
		cmocka_unit_test(silence_ends_at_the_deadline),
		cmocka_unit_test(migration_is_refused_or_it_is_said_that_it_is_not),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
