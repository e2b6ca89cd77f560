/* Questions for a language model behind an OpenAI-compatible endpoint (chat completions with
 * tools). The model sees the question and the schemas of the read-only queries, asks for some,
 * gets their results, and words the answer. It is trusted with nothing: only those queries on
 * this one VM run, the conversation is bounded, an answer without a query is refused, and what
 * the queries gave is shown beside the words. Off unless configured:
 *
 *   GLASSBOX_MODEL_URL   "http://127.0.0.1:8080/v1"; /chat/completions is added
 *   GLASSBOX_MODEL_KEY   bearer token, if the server wants one
 *   GLASSBOX_MODEL       the model's name, "default" if not given
 *   GLASSBOX_MODEL_TIMEOUT   seconds for a whole answer; 120 if not given
 *
 * or url, key, model, timeout_s in $XDG_CONFIG_HOME/glassbox/model.json. Thread: that of the
 * call. */
#ifndef BOX_MODEL_H
#define BOX_MODEL_H
#include <jansson.h>
#include <stdbool.h>
struct call_context;
struct error;

/* True if a model is configured. */
bool model_is_configured(void);

/* Answers in the form of answer_question. Caller owns *ret. Fails: ERR_NOT_FOUND (none is
 * configured), ERR_PEER, ERR_LIMIT, ERR_USAGE (a broken configuration). */
struct error *model_answer(struct call_context *context, const char *question, json_t **ret);
#endif
