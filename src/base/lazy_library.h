/* Shared libraries that only some commands need are loaded when the first of their functions is
 * called: binding all of them at every start would take longer than most answers do. Code calls
 * them as usual; what it links with is a stand-in that tools/lazy_library.py makes of the
 * library's list of functions. Thread: any. */
#ifndef BASE_LAZY_LIBRARY_H
#define BASE_LAZY_LIBRARY_H
struct error;

struct lazy_library {
	const char *soname;
	void *handle; /* NULL until loaded */
};

/* Names the stand-in of libNAME.so, as src/base/meson.build lists it, '_' for other characters.
 */
#define LAZY_LIBRARY(name) \
	extern struct lazy_library lazy_library_##name __attribute__((visibility("hidden")))

/* Loads the library now. Who can do without it asks before the first call: a call of a library
 * that is not there ends the program with one line that names it. Fails: ERR_UNSUPPORTED. */
struct error *lazy_library_open(struct lazy_library *library);
#endif
