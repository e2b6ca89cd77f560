/* Answers plain questions: understands them (facts/ask.h), runs the calls, and says the result
 * in a sentence. Thread: that of the call. */
#ifndef BOX_ANSWER_H
#define BOX_ANSWER_H
#include <jansson.h>
struct call_context;
struct error;

/* Caller owns *ret: {question, understood, answer, rows, columns, ranges, focus, query, text}.
 * ranges are guest-physical: [{start, end}] as 0x texts; text is the answer and its table for
 * people. Fails: ERR_NOT_FOUND with suggestions when the question is not understood. */
struct error *answer_question(struct call_context *context, const char *question, json_t **ret);
#endif
