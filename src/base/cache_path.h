/* Where the user's caches are: $XDG_CACHE_HOME/glassbox, or ~/.cache/glassbox. Thread: any, as
 * long as nobody changes the environment. */
#ifndef BASE_CACHE_PATH_H
#define BASE_CACHE_PATH_H
struct error;

/* The path of something in there, which need not exist. Caller frees *ret. ERR_NOT_FOUND when
 * the environment names neither place. */
struct error *cache_path(const char *rest, char **ret);

/* A folder in there, made when it is missing, for this user alone. Caller frees *ret. */
struct error *cache_folder(const char *name, char **ret);
#endif
