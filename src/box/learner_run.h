/* Runs glassbox-learner, which alone has the lifter and the solver. Thread: any. */
#ifndef BOX_LEARNER_RUN_H
#define BOX_LEARNER_RUN_H
#include <jansson.h>
#include <stdio.h>
struct error;

/* Its rows come back in `results`. option NULL: it learns from the candidates in a file; else
 * the option with its value says what to do. ERR_NOT_FOUND, ERR_PEER, ERR_SYSTEM. */
struct error *learner_run(FILE *candidates, FILE *results, const char *option,
			  const char *value);
/* What it wrote, as an array. New reference. */
struct error *learner_rows(FILE *results, json_t **ret);
#endif
