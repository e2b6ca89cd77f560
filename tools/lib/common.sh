# Shared by the set-up scripts: messages, the cache folder, a log for noisy commands. Sourced, never run.

cache_dir=${GLASSBOX_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/glassbox}
log_file=$cache_dir/setup.log

say() { printf '%s\n' "glassbox: $*" >&2; }

die() {
	printf '%s\n' "glassbox: error: $*" >&2
	exit 1
}

# Runs a command with its output in the log; shows the end of it when it fails.
logged() {
	local mark rc=0
	mkdir -p "$cache_dir"
	printf '\n== %s: %s\n' "$(date -u +%FT%TZ)" "$*" >>"$log_file"
	mark=$(wc -c <"$log_file")
	"$@" >>"$log_file" 2>&1 </dev/null || rc=$?
	if [ "$rc" != 0 ]; then
		say "this failed (exit $rc): $*"
		tail -c "+$((mark + 1))" "$log_file" | tail -n 15 | sed 's/^/    /' >&2
		say "the whole log: $log_file"
	fi
	return "$rc"
}

# Takes a lock that is held until the script ends: two set-ups do not work on one tree at once.
take_lock() {
	mkdir -p "$cache_dir"
	exec 9>"$cache_dir/$1.lock"
	flock -n 9 || {
		say "another set-up is at work on $1, waiting for it"
		flock 9
	}
}
