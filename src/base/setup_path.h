/* Where `tools/setup` lies, for hints: beside the sources of a build tree, or where `make
 * install` puts it. Thread: any. */
#ifndef BASE_SETUP_PATH_H
#define BASE_SETUP_PATH_H

/* "tools/setup" as a person would type it from anywhere; never NULL, lives as long as the
 * program. */
const char *setup_path(void);
#endif
