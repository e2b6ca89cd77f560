# What people type. Everything else is meson's (meson.build) and tools/'s. Works on a fresh Debian 12 with git and make:
# the first step of each goal installs what is missing (tools/packages.txt).
BUILD = build

build: packages
	@tools/setup qemu
	@[ -f $(BUILD)/build.ninja ] || meson setup $(BUILD)
	@ninja -C $(BUILD)

packages:
	@tools/setup packages

demo: build
	@tools/guest >/dev/null
	@$(BUILD)/glassbox demo $(ARGS)

check: packages
	@tools/setup qemu
	@tools/check

check-full: packages
	@tools/setup qemu
	@tools/check --full

lint: build
	@tools/lint

asan: packages
	@tools/setup qemu
	@[ -f build-asan/build.ninja ] || meson setup build-asan -Db_sanitize=address,undefined
	@ninja -C build-asan
	@meson test -C build-asan --suite unit --print-errorlogs --timeout-multiplier 4

# DESTDIR and PREFIX work as usual.
install: build
	@[ -z "$(PREFIX)" ] || meson configure $(BUILD) -Dprefix=$(PREFIX)
	@ninja -C $(BUILD)
	@meson install -C $(BUILD) --no-rebuild

deb: packages
	@tools/setup qemu
	@tools/deb

clean:
	rm -rf $(BUILD) build-asan build-deb build-fuzz build-gcc-werror

help:
	@echo 'make             build build/glassbox'
	@echo 'make demo        boot a guest and take the tour'
	@echo 'make check       all tests (about 20 minutes), make check-full the slow ones too'
	@echo 'make lint        format, rooms, compilers, analyzer'
	@echo 'make asan        unit tests with AddressSanitizer and UndefinedBehaviorSanitizer'
	@echo 'make install     install (DESTDIR=, PREFIX=)'
	@echo 'make deb         a Debian package in build-deb/'
	@echo 'make clean       remove what was built; downloads stay in ~/.cache/glassbox'

.PHONY: build packages demo check check-full lint asan install deb clean help
