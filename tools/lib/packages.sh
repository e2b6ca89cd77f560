# Installs the packages of tools/packages.txt that the system lacks. Sourced by tools/setup.

wanted_packages() { sed -e 's/#.*//' -e 's/[[:space:]]//g' -e '/^$/d' "$here/packages.txt"; }

missing_packages() {
	local have
	have=$(dpkg-query -W -f '${db:Status-Abbrev}|${Package}\n' 2>/dev/null | sed -n 's/^[hi]i *|//p' | sort -u)
	wanted_packages | sort -u | comm -23 - <(printf '%s\n' "$have")
}

setup_packages() {
	local missing=() as_root=()
	mapfile -t missing < <(missing_packages)
	[ ${#missing[@]} = 0 ] && return 0
	command -v apt-get >/dev/null || die "this is not a Debian system; install: ${missing[*]}"
	if [ "$(id -u)" != 0 ]; then
		command -v sudo >/dev/null && sudo -n true 2>/dev/null ||
			{ [ -t 0 ] && command -v sudo >/dev/null; } ||
			die "packages are missing and only root may install them; run: apt-get install ${missing[*]}"
		as_root=(sudo)
	fi
	say "installing ${#missing[@]} Debian packages: ${missing[*]}"
	logged "${as_root[@]}" apt-get -q update ||
		die "cannot reach the Debian archive; missing packages: ${missing[*]}"
	logged "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends \
		-o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold install "${missing[@]}" ||
		die "cannot install: ${missing[*]}"
}
