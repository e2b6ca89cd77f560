#include "learn/learner.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/error.h"
#include "learn/learned.h"
#include "learn/library.h"

enum { ANSWER_MAX = 4096 };

static double now_ms(void)
{
	struct timespec now;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static json_t *row(const struct learner_params *params, const char *outcome, const char *id,
		   const char *reason, const char *pattern)
{
	char address[24];
	snprintf(address, sizeof(address), "0x%llx", (unsigned long long)params->head);
	return json_pack("{s:s,s:s?,s:s?,s:s,s:s?,s:s?,s:s?}", "address", address, "symbol",
			 params->symbol, "program", params->program, "outcome", outcome, "id",
			 id, "reason", reason, "pattern", pattern);
}

static void limit(int what, rlim_t value)
{
	struct rlimit limits = { value, value };
	setrlimit(what, &limits);
}

static struct error *learn_and_store(const struct learner_params *params, json_t **row_ret)
{
	AUTO(own_learned) struct learned *learned = NULL;
	AUTO(own_library) struct library *library = NULL;
	json_t *doc = NULL;
	/* A database handle does not survive fork. */
	TRY(library_open(library_directory(params->library), &library));
	struct synth_store templates = { library_template_find, library_template_add, library };
	TRY(learned_create(&(struct learned_params){ .source = params->source,
						     .head = params->head,
						     .symbol = params->symbol,
						     .program = params->program,
						     .cases = params->cases,
						     .keep_text = true,
						     .templates = &templates },
			   &learned));
	TRY(learned_to_json(learned, &doc));
	struct error *err = library_store(library, doc, learned->kernel);
	json_decref(doc);
	if (!err)
		*row_ret = row(params, "learned", learned->id, NULL, learned->pattern);
	return err;
}

/* AddressSanitizer reserves terabytes of addresses: no limit then. */
#ifdef __has_feature
#define HAS_FEATURE(name) __has_feature(name)
#else
#define HAS_FEATURE(name) 0
#endif
#if defined(__SANITIZE_ADDRESS__) || HAS_FEATURE(address_sanitizer)
static const bool limits_memory = false;
#else
static const bool limits_memory = true;
#endif

/* A library that ends the process flushes its streams, which would set back the position of
 * the parent's list of candidates: it is the same open file. */
static void leave_stdin(void)
{
	int nothing = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (nothing >= 0)
		dup2(nothing, STDIN_FILENO);
}

/* The child: never returns. */
static void work(const struct learner_params *params, int to)
{
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	leave_stdin();
	limit(RLIMIT_CPU, params->seconds ? params->seconds : 60);
	if (limits_memory)
		limit(RLIMIT_AS, (rlim_t)(params->megabytes ? params->megabytes : 3072) << 20);
	limit(RLIMIT_CORE, 0);
	json_t *answer = NULL;
	struct error *err = learn_and_store(params, &answer);
	if (err)
		answer = row(params, error_kind(err) == ERR_BAD_DATA ? "mismatch" : "refused",
			     NULL, error_message(err), NULL);
	char *text = json_dumps(answer, JSON_COMPACT);
	size_t length = text ? strlen(text) : 0;
	ssize_t wrote = text ? write(to, text, length < ANSWER_MAX ? length : ANSWER_MAX) : -1;
	_exit(wrote > 0 ? 0 : 1);
}

/* Reads until the end or the deadline; returns the length. */
static size_t read_answer(int from, double deadline_ms, char *ret)
{
	size_t have = 0;
	while (have < ANSWER_MAX) {
		double left = deadline_ms - now_ms();
		struct pollfd poller = { .fd = from, .events = POLLIN };
		if (left <= 0 || poll(&poller, 1, (int)left + 1) < 0)
			break;
		ssize_t got = read(from, ret + have, ANSWER_MAX - have);
		if (got <= 0)
			break;
		have += (size_t)got;
	}
	return have;
}

static const char *end_of(int status)
{
	if (WIFSIGNALED(status) && (WTERMSIG(status) == SIGXCPU || WTERMSIG(status) == SIGKILL))
		return "its budget of time was used up";
	if (WIFEXITED(status))
		return "its budget of memory was used up";
	return "the learner crashed on it";
}

/* Waits for the child and makes a row of what it said, or of how it ended. */
static struct error *collect(const struct learner_params *params, pid_t child, int from,
			     json_t **row_ret)
{
	char answer[ANSWER_MAX + 1];
	unsigned seconds = params->seconds ? params->seconds : 60;
	size_t length = read_answer(from, now_ms() + seconds * 6000.0, answer);
	int status = 0;
	struct rusage usage = { 0 };
	kill(child, SIGKILL);
	while (wait4(child, &status, 0, &usage) < 0 && errno == EINTR)
		;
	answer[length] = 0;
	json_t *result = length ? json_loadb(answer, length, 0, NULL) : NULL;
	if (!result)
		result = row(params, "refused", NULL, end_of(status), NULL);
	double cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1e3 +
		     (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e3;
	json_object_set_new(result, "cpu_ms", json_real(cpu));
	*row_ret = result;
	return NULL;
}

static struct error *learn_in_child(const struct learner_params *params, json_t **row_ret)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC))
		return error_system(errno, "cannot make a pipe");
	fflush(NULL);
	pid_t child = fork();
	if (child < 0) {
		close(ends[0]);
		close(ends[1]);
		return error_system(errno, "cannot start a learner");
	}
	if (child == 0) {
		close(ends[0]);
		work(params, ends[1]);
	}
	close(ends[1]);
	struct error *err = collect(params, child, ends[0], row_ret);
	close(ends[0]);
	return err;
}

static struct error *look_up(const struct learner_params *params, json_t **row_ret)
{
	char id[LEARNED_ID];
	AUTO(own_free) char *reason = NULL;
	struct error *err = library_find(params->library, params->source, params->head, id);
	if (!err) {
		*row_ret = row(params, "known", id, NULL, NULL);
		return NULL;
	}
	if (!error_catch(&err, ERR_NOT_FOUND))
		return err;
	if (!params->again)
		TRY(library_refused(params->library, params->source, params->head, &reason));
	if (reason) {
		TRY(library_refuse(params->library, params->source, params->head,
				   params->symbol, reason));
		*row_ret = row(params, "refused", NULL, reason, NULL);
	}
	return NULL;
}

struct error *learner_learn(const struct learner_params *params, json_t **row_ret)
{
	double start = now_ms();
	json_t *result = NULL;
	TRY(look_up(params, &result));
	if (!result) {
		TRY(learn_in_child(params, &result));
		const char *reason = json_string_value(json_object_get(result, "reason"));
		if (reason) {
			struct error *err =
				library_refuse(params->library, params->source, params->head,
					       params->symbol, reason);
			if (err) {
				json_decref(result);
				return err;
			}
		}
	}
	json_object_set_new(result, "ms", json_real(now_ms() - start));
	*row_ret = result;
	return NULL;
}
