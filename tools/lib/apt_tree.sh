# Debian packages of any suite, fetched into a private folder by apt with an isolated state: nothing of the system's
# package database is read or changed, every index and package is verified by apt with Debian's own keys. Sourced.
#
# An apt area is a folder: apt.conf, sources.list, status (empty), state/ (indexes), cache/archives/ (packages).
# Interrupted downloads resume, because apt keeps partial files and this folder is only removed by its user.

# The address of a Debian archive as the system's own apt sources have it: main, or security.
debian_uri() {
	local want=$1 uri suite component
	while IFS='|' read -r uri suite component; do
		[ "$component" = main ] || continue
		case "$want:$suite" in
		security:*-security | security:*/updates) ;;
		main:*-security | main:*/updates) continue ;;
		main:*) case "$uri" in *debian/) ;; *) continue ;; esac ;;
		*) continue ;;
		esac
		printf '%s\n' "$uri"
		return 0
	done < <(apt-get indextargets --no-release-info \
		--format '$(REPO_URI)|$(RELEASE)|$(COMPONENT)' 'Identifier: Packages' 2>/dev/null)
	[ "$want" = security ] || return 1
	# No security archive configured: it lies beside the main one on every full mirror.
	uri=$(debian_uri main) || return 1
	printf '%s\n' "${uri%/}-security/"
}

# The system's keys for Debian archives, one file for apt's signed-by.
debian_keyring() {
	local f
	for f in /usr/share/keyrings/debian-archive-keyring.gpg /usr/share/keyrings/debian-archive-keyring.pgp; do
		[ -s "$f" ] && printf '%s\n' "$f" && return 0
	done
	return 1
}

# apt_area_create DIR ARCH SUITE...: writes the private configuration.
apt_area_create() {
	local dir=$1 arch=$2 suite keys main security
	shift 2
	main=$(debian_uri main) || die "the system's apt sources name no Debian archive; add one to /etc/apt/sources.list"
	keys=$(debian_keyring) || die "Debian's archive keys are missing: install debian-archive-keyring"
	security=$(debian_uri security)
	mkdir -p "$dir"/state/lists/partial "$dir"/cache/archives/partial
	: >"$dir/status"
	for suite in "$@"; do
		case $suite in
		*-security) printf 'deb [signed-by=%s] %s %s main\n' "$keys" "$security" "$suite" ;;
		*) printf 'deb [signed-by=%s] %s %s main\n' "$keys" "$main" "$suite" ;;
		esac
	done >"$dir/sources.list"
	{
		# How the system reaches its archives (proxies, certificates, retries) holds here as well.
		apt-config dump | grep '^Acquire::' | grep -v '^Acquire::IndexTargets' || true
		cat <<-CONF
			Dir::State "$dir/state";
			Dir::State::status "$dir/status";
			Dir::State::extended_states "$dir/extended_states";
			Dir::Cache "$dir/cache";
			Dir::Log "$dir";
			Dir::Etc::sourcelist "$dir/sources.list";
			Dir::Etc::sourceparts "/dev/null";
			Dir::Etc::preferences "/dev/null";
			Dir::Etc::preferencesparts "/dev/null";
			Dir::Etc::parts "/dev/null";
			Dir::Etc::main "/dev/null";
			APT::Architecture "$arch";
			APT::Architectures "$arch";
			APT::Install-Recommends "false";
			APT::Install-Suggests "false";
			APT::Get::Assume-Yes "true";
			APT::Sandbox::User "";
			Acquire::Languages "none";
			Acquire::Retries "3";
			Acquire::Check-Valid-Until "false";
		CONF
	} >"$dir/apt.conf"
}

apt_area() { # DIR apt-command arguments...
	local dir=$1
	shift
	APT_CONFIG=$dir/apt.conf LC_ALL=C "$@"
}

apt_area_update() {
	logged apt_area "$1" apt-get -q -o APT::Update::Error-Mode=any update
}

# apt_area_show_fetch DIR: one line of what the download is going to take.
apt_area_plan() {
	local dir=$1
	shift
	apt_area "$dir" apt-get -q --print-uris install "$@" | awk -F"[' ]" '/^.http|^.[a-z+]+:\/\// { n++ }
		{ if (match($0, / [0-9]+ (SHA|MD5)/)) bytes += substr($0, RSTART + 1) + 0 }
		END { printf "%d packages, %d MB to fetch\n", n, (bytes + 999999) / 1000000 }'
}

# apt_area_fetch DIR PACKAGE...: the packages and all they depend on, into DIR/cache/archives.
apt_area_fetch() {
	local dir=$1
	shift
	logged apt_area "$dir" apt-get -q --download-only install "$@"
}
