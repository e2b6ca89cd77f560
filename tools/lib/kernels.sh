# Debian kernels and busybox, fetched and unpacked once per profile. Sourced by tools/guest.
#
#   CACHE/kernels/PROFILE/  vmlinuz, modules/ (the .ko files), config, package, .complete
#   CACHE/kernels/busybox-ARCH
#   CACHE/kernels/libc-ARCH/  for another architecture: musl and gcc's run-time library to link the guest's programs with

kernel_recipe=3

# PROFILE SUITE ARCH PACKAGE TITLE
kernel_profiles() {
	cat <<-EOT
		5.10 bullseye amd64 linux-image-cloud-amd64 Debian 11, cloud flavour
		6.1 bookworm amd64 linux-image-cloud-amd64 Debian 12, cloud flavour
		6.12 trixie amd64 linux-image-cloud-amd64 Debian 13, cloud flavour
		testing testing amd64 linux-image-cloud-amd64 Debian testing, cloud flavour
		5.10-generic bullseye amd64 linux-image-amd64 Debian 11, all machines
		6.1-generic bookworm amd64 linux-image-amd64 Debian 12, all machines
		6.12-generic trixie amd64 linux-image-amd64 Debian 13, all machines
		testing-generic testing amd64 linux-image-amd64 Debian testing, all machines
		6.1-rt bookworm amd64 linux-image-rt-amd64 Debian 12, PREEMPT_RT
		6.12-rt trixie amd64 linux-image-rt-amd64 Debian 13, PREEMPT_RT
		5.10-i386 bullseye i386 linux-image-686-pae Debian 11, 32 bits with PAE
		6.1-i386 bookworm i386 linux-image-686-pae Debian 12, 32 bits with PAE
		6.1-i386-nopae bookworm i386 linux-image-686 Debian 12, 32 bits without PAE
	EOT
}

suites_of() {
	case $1 in
	testing) echo testing ;;
	*) echo "$1 $1-security" ;;
	esac
}

# The package that holds the image and modules behind a metapackage: the newest of its kernel dependencies.
kernel_package() { # AREA METAPACKAGE
	apt_area "$1" apt-cache depends "$2" | sed -n 's/^ *Depends: \(linux-image-[0-9].*\)/\1/p' | head -n1
}

# What has to be unpacked for an image package: itself, and where it is split (7.x) its binary and modules packages.
kernel_parts() { # AREA IMAGE-PACKAGE
	echo "$2"
	apt_area "$1" apt-cache depends "$2" | sed -n 's/^ *Depends: \(linux-\(binary\|modules\)-[0-9].*\)/\1/p'
}

fetch_packages() { # AREA TARGET PACKAGE...: apt-get download, verified, into TARGET
	local area=$1 target=$2
	shift 2
	mkdir -p "$target"
	(cd "$target" && logged apt_area "$area" apt-get -q download "$@")
}

# One apt area per suite and architecture; its indexes are read once per run of this script.
declare -A areas_ready=()
area_for() { # SUITE ARCH: sets $area
	area=$cache_dir/apt/$1-$2
	[ -n "${areas_ready[$1-$2]:-}" ] && return 0
	# shellcheck disable=SC2046
	apt_area_create "$area" "$2" $(suites_of "$1")
	if ! apt_area_update "$area"; then
		# Security archives of old architectures are at times half copied; the suite itself has a kernel too.
		apt_area_create "$area" "$2" "$1"
		say "trying Debian $1 ($2) without its security archive"
		apt_area_update "$area" || return 1
	fi
	areas_ready[$1-$2]=yes
}

unpack_kernel() { # DOWNLOADS TARGET
	local downloads=$1 target=$2 tree=$1/tree deb image
	mkdir -p "$tree" "$target"
	for deb in "$downloads"/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$tree" --no-same-owner --exclude='./usr/share/doc/*'
	done
	image=$(find "$tree" -name 'vmlinuz*' -type f | head -n1)
	[ -n "$image" ] || die "no kernel image in $(ls "$downloads")"
	cp "$image" "$target/vmlinuz"
	find "$tree" -path '*/kernel/*.ko*' -printf '%f\n' | sort >"$target/modules.all"
	mkdir -p "$target/modules"
	find "$tree" -path '*/kernel/*' \( -name '*.ko' -o -name '*.ko.xz' -o -name '*.ko.zst' -o -name '*.ko.gz' \) |
		grep -E "/($(wanted_modules | paste -sd'|'))\.ko" | while IFS= read -r ko; do cp "$ko" "$target/modules/"; done
	find "$tree" -name 'config-*' -type f -exec cp {} "$target/config" \;
	find "$tree" -name 'System.map*' -type f -size +64k -exec cp {} "$target/System.map" \;
}

# Drivers a guest may need, with everything these depend on (the packer orders them and leaves out what is absent).
wanted_modules() {
	printf '%s\n' virtio virtio_ring virtio_pci virtio_pci_modern_dev virtio_pci_legacy_dev virtio_mmio virtio_blk \
		failover net_failover virtio_net virtio_console loop dummy
}

busybox_ready() { [ -x "$cache_dir/kernels/busybox-$1" ]; }

fetch_busybox() { # ARCH
	local arch=$1 work=$cache_dir/kernels/busybox-$1.new
	busybox_ready "$arch" && return 0
	if [ "$arch" = "$(dpkg --print-architecture)" ] && [ -x /bin/busybox ]; then
		mkdir -p "$cache_dir/kernels"
		cp /bin/busybox "$work" && mv "$work" "$cache_dir/kernels/busybox-$arch"
		return 0
	fi
	area_for bookworm "$arch" || return 1
	rm -rf "$work"
	fetch_packages "$area" "$work" busybox-static || return 1
	dpkg-deb --fsys-tarfile "$work"/*.deb | tar -x -C "$work" --no-same-owner ./bin/busybox
	mv "$work/bin/busybox" "$cache_dir/kernels/busybox-$arch"
	rm -rf "$work"
}

# What programs for a foreign architecture are linked with; nothing of the host's packages is touched.
fetch_libc() { # ARCH
	local arch=$1 target=$cache_dir/kernels/libc-$1 deb
	[ "$arch" = "$(dpkg --print-architecture)" ] || [ -d "$target" ] && return 0
	area_for bookworm "$arch" || return 1
	rm -rf "$target.new" "$target.download"
	fetch_packages "$area" "$target.download" musl-dev libgcc-12-dev || return 1
	mkdir -p "$target.new"
	for deb in "$target.download"/*.deb; do
		dpkg-deb --fsys-tarfile "$deb" | tar -x -C "$target.new" --no-same-owner --strip-components=2 \
			--exclude='./usr/share' ./usr || return 1
	done
	rm -rf "$target.download"
	mv "$target.new" "$target"
}

kernel_ready() { [ "$(head -n1 "$cache_dir/kernels/$1/.complete" 2>/dev/null)" = "recipe $kernel_recipe" ]; }

fetch_kernel() { # PROFILE SUITE ARCH METAPACKAGE
	local profile=$1 suite=$2 arch=$3 meta=$4 image area
	local fresh=$cache_dir/kernels/$1.new downloads=$cache_dir/kernels/$1.download
	kernel_ready "$profile" && return 0
	area_for "$suite" "$arch" ||
		die "cannot reach the Debian archive, and there is no cached copy; missing: $meta of Debian $suite ($arch)"
	image=$(kernel_package "$area" "$meta")
	[ -n "$image" ] || die "Debian $suite has no $meta for $arch"
	say "fetching $image of Debian $suite"
	# shellcheck disable=SC2046
	fetch_packages "$area" "$downloads" $(kernel_parts "$area" "$image") ||
		die "cannot fetch $image of Debian $suite"
	rm -rf "$fresh"
	unpack_kernel "$downloads" "$fresh"
	printf '%s\n' "$image" >"$fresh/package"
	echo "recipe $kernel_recipe" >"$fresh/.complete"
	rm -rf "${cache_dir:?}/kernels/$profile" "$downloads"
	mv "$fresh" "$cache_dir/kernels/$profile"
}
