# The private copy of Debian testing's QEMU, OVMF and tint beside the system. Sourced by tools/setup.
#
#   CACHE/testing-root/      the packages, unpacked; .complete names them
#   CACHE/bin/NAME           wrappers: run the program through that tree's own loader and libraries
#   CACHE/apt/testing/       apt's indexes and packages while the tree is being made
#
# Where the system has QEMU 11 and tint, the wrappers just start the system's programs.

qemu_recipe=3 # raise it when the list or the wrappers change: trees made by an older recipe are made anew
qemu_packages=(qemu-system-x86 qemu-utils seabios ovmf ipxe-qemu dawn-tools)
# Comes along by dependencies (a 3D stack, an init system), is never run, and would take 300 MB.
qemu_left_out='^(libllvm|mesa-libgallium|libz3-|systemd_|libsystemd-shared|libgl1-mesa)'
qemu_programs=(qemu-system-x86_64 qemu-system-i386 qemu-img tint)

system_qemu_major() {
	[ -x /usr/bin/qemu-system-x86_64 ] || return 1
	/usr/bin/qemu-system-x86_64 --version 2>/dev/null | sed -n '1s/.*version \([0-9]*\)\..*/\1/p'
}

system_qemu_serves() {
	local major
	major=$(system_qemu_major) || return 1
	[ "${major:-0}" -ge 11 ] && [ -x /usr/bin/tint ]
}

qemu_ready() {
	local p
	for p in "${qemu_programs[@]}"; do
		[ -x "$cache_dir/bin/$p" ] || return 1
	done
	if [ "$(cat "$cache_dir/bin/.source" 2>/dev/null)" = system ]; then
		system_qemu_serves
	else
		[ "$(head -n1 "$cache_dir/testing-root/.complete" 2>/dev/null)" = "recipe $qemu_recipe" ]
	fi
}

# Writes a wrapper for a program of the private tree. The loader is the tree's own, so nothing of the system's
# libraries is mixed in; QEMU finds its modules and firmware by the two settings below.
write_private_wrapper() {
	local name=$1 root=$2 to=$3 firmware=''
	case $name in
	qemu-system-*)
		firmware="-L $root/usr/share/qemu -L $root/usr/share/seabios -L $root/usr/lib/ipxe/qemu"
		firmware="$firmware -L $root/usr/share/ovmf"
		;;
	esac
	cat >"$to" <<-EOT
		#!/bin/sh
		# Made by tools/setup: $name from the private tree, through the tree's own loader.
		QEMU_MODULE_DIR=$root/usr/lib/x86_64-linux-gnu/qemu
		export QEMU_MODULE_DIR
		exec $root/usr/lib64/ld-linux-x86-64.so.2 --library-path $root/usr/lib/x86_64-linux-gnu:$root/usr/lib/x86_64-linux-gnu/pulseaudio \\
			$root/usr/bin/$name $firmware "\$@"
	EOT
	chmod 755 "$to"
}

write_wrappers() { # private or system
	local source=$1 p fresh=$cache_dir/bin.new.$$
	rm -rf "$fresh"
	mkdir -p "$fresh"
	for p in "${qemu_programs[@]}"; do
		if [ "$source" = private ]; then
			write_private_wrapper "$p" "$cache_dir/testing-root" "$fresh/$p"
		else
			printf '#!/bin/sh\nexec /usr/bin/%s "$@"\n' "$p" >"$fresh/$p"
			chmod 755 "$fresh/$p"
		fi
	done
	echo "$source" >"$fresh/.source"
	rm -rf "$cache_dir/bin"
	mv "$fresh" "$cache_dir/bin"
}

unpack_tree() { # AREA ROOT
	local area=$1 root=$2 deb n=0 all
	all=$(find "$area/cache/archives" -maxdepth 1 -name '*.deb' -printf '%f\n' | grep -cvE "$qemu_left_out")
	rm -rf "$root"
	mkdir -p "$root/usr/bin" "$root/usr/lib" "$root/usr/lib64"
	# Debian's merged /usr: packages which still name /lib must land in /usr/lib.
	ln -s usr/bin "$root/bin"
	ln -s usr/lib "$root/lib"
	ln -s usr/lib64 "$root/lib64"
	while IFS= read -r deb; do
		n=$((n + 1))
		[ -t 2 ] && printf '\rglassbox: unpacking %d of %d ' "$n" "$all" >&2
		dpkg-deb --fsys-tarfile "$area/cache/archives/$deb" | tar -x -C "$root" --keep-directory-symlink --no-same-owner \
			--exclude='./usr/bin/dawn_end2end_tests' --exclude='./usr/share/doc/*' --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' ||
			die "cannot unpack $deb (is the disk full?)"
	done < <(find "$area/cache/archives" -maxdepth 1 -name '*.deb' -printf '%f\n' | grep -vE "$qemu_left_out" | sort)
	[ -t 2 ] && printf '\n' >&2
	return 0
}

# A wrapper that does not start is found here and not by somebody's first boot.
check_tree() {
	local root=$1 line try=$1/.try
	write_private_wrapper qemu-system-x86_64 "$root" "$try"
	line=$("$try" --version 2>&1 | head -n1)
	case $line in *version\ [1-9]*) ;; *) die "the private QEMU does not start: $line" ;; esac
	write_private_wrapper tint "$root" "$try"
	echo '@compute @workgroup_size(1) fn main() {}' >"$try.wgsl"
	"$try" --format spirv -o "$try.spv" "$try.wgsl" >/dev/null 2>&1 && [ -s "$try.spv" ] ||
		die "the private tint does not compile an empty shader"
	rm -f "$try" "$try.wgsl" "$try.spv"
}

setup_qemu() {
	local area=$cache_dir/apt/testing fresh=$cache_dir/testing-root.new
	qemu_ready && return 0
	take_lock qemu
	qemu_ready && return 0
	if system_qemu_serves; then
		say "QEMU $(system_qemu_major) of the system serves, no private copy needed"
		write_wrappers system
		return 0
	fi
	say "the system's QEMU is $(system_qemu_major || echo missing): fetching Debian testing's beside it, into $cache_dir"
	apt_area_create "$area" amd64 testing
	apt_area_update "$area" ||
		die "cannot reach the Debian archive, and there is no cached copy; missing: ${qemu_packages[*]} of Debian testing"
	say "$(apt_area_plan "$area" "${qemu_packages[@]}")"
	apt_area_fetch "$area" "${qemu_packages[@]}" ||
		die "cannot fetch ${qemu_packages[*]} of Debian testing; run again, the download goes on where it stopped"
	unpack_tree "$area" "$fresh"
	check_tree "$fresh"
	{
		echo "recipe $qemu_recipe"
		find "$area/cache/archives" -maxdepth 1 -name '*.deb' -printf '%f\n' | sort
	} >"$fresh/.complete"
	rm -rf "$cache_dir/testing-root"
	mv "$fresh" "$cache_dir/testing-root"
	write_wrappers private
	rm -rf "$area"
	say "$("$cache_dir/bin/qemu-system-x86_64" --version | head -n1) is ready"
}
