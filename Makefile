# Builds nsgate and puts it in its place: what all packages are made with (packaging/), and the way without one.
#
#   make                    as yourself
#   make install            as root
#   make install-uidmap install-lxc-user-nic install-nsgate     the three packages one by one
#
# On the host itself, programs that a package owns are better replaced by a package: it can be undone.

DESTDIR =
PREFIX = /usr
SYSCONFDIR = /etc
LIBEXECDIR = $(PREFIX)/libexec
DATADIR = $(PREFIX)/share
# Where LXC has lxc-user-nic on this system.
LXCDIR = $(LIBEXECDIR)/lxc
# How newuidmap and newgidmap get their one capability: setuid, fcaps (file capabilities; setcap has to be there, and
# fakeroot will do) or none (the package does it later). lxc-user-nic becomes root, so for it there is no fcaps.
MODE = setuid

# With the name of this directory in the programs, no two builds would be the same. Cargo also makes names of symbols from the
# path of build/rustc-static, if it is told one.
CARGO = cargo
PACKAGES = newidmap lxc-user-nic nsgate
CARGO_TARGET_DIR = $(CURDIR)/target/package
# Other programs than those that "make" builds.
BUILT ?= $(CARGO_TARGET_DIR)/release
CARGO_HOME ?= $(HOME)/.cargo
REMAP = --remap-path-prefix=$(CURDIR)=/nsgate --remap-path-prefix=$(CARGO_HOME)=/cargo
WRAPPER = PATH="$(CURDIR)/build:$$PATH" RUSTC_WORKSPACE_WRAPPER=rustc-static
BUILD_ENV = $(WRAPPER) NSGATE_LIBEXECDIR=$(LIBEXECDIR) CARGO_TARGET_DIR=$(CARGO_TARGET_DIR) RUSTFLAGS="$(REMAP) $(RUSTFLAGS)"

all:
	$(BUILD_ENV) $(CARGO) build --release --locked $(PACKAGES:%=-p %)
	echo '$(LIBEXECDIR)' >'$(CARGO_TARGET_DIR)/release/libexecdir'

install: install-uidmap install-lxc-user-nic install-nsgate

ifeq ($(filter setuid fcaps none,$(MODE)),)
$(error MODE is setuid, fcaps or none)
endif

# put MODE,FILE,PLACE[,CAPABILITIES]: beside it first, then renamed. There is no moment without the program, with half of it,
# or with one that lacks its privilege.
define put
install -D -m $(1) $(2) '$(DESTDIR)$(3).new'
$(if $(4),setcap '$(4)=ep' '$(DESTDIR)$(3).new')
mv -fT '$(DESTDIR)$(3).new' '$(DESTDIR)$(3)'
endef

# plain FILE,DIRECTORY
plain = install -D -m 644 $(1) '$(DESTDIR)$(2)/$(notdir $(1))'

# keep FILE,DIRECTORY: a file that is the admin's once it is there.
keep = test -e '$(DESTDIR)$(2)/$(notdir $(1))' || $(call plain,$(1),$(2))

# Where the programs look for their twins: "make" writes it beside them. Built by cargo alone, they do as its configuration says.
BUILT_FOR = $(shell cat '$(BUILT)/libexecdir' 2>/dev/null || sed -n 's/^NSGATE_LIBEXECDIR = "\(.*\)"$$/\1/p' .cargo/config.toml)

# privileged PROGRAM,DIRECTORY[,CAPABILITY]: the program there, and its twin where the program looks for it.
define privileged
[ '$(BUILT_FOR)' = '$(LIBEXECDIR)' ] && grep -qaF '$(LIBEXECDIR)/nsgate/$(1)-nss' $(BUILT)/$(1) || \
    { echo "$(1) was built for another LIBEXECDIR" >&2; exit 1; }
$(call put,$(bits),$(BUILT)/$(1)-nss,$(LIBEXECDIR)/nsgate/$(1)-nss,$(3))
$(call put,$(bits),$(BUILT)/$(1),$(2)/$(1),$(3))
endef

install-uidmap: bits = $(if $(filter setuid,$(MODE)),4755,755)
install-uidmap: capability = $(if $(filter fcaps,$(MODE)),$(1))
install-uidmap:
	$(call privileged,newuidmap,$(PREFIX)/bin,$(call capability,cap_setuid))
	$(call privileged,newgidmap,$(PREFIX)/bin,$(call capability,cap_setgid))
	$(call put,755,$(BUILT)/getsubids,$(PREFIX)/bin/getsubids)
	$(call plain,packaging/man/newuidmap.1,$(DATADIR)/man/man1)
	$(call plain,packaging/man/newgidmap.1,$(DATADIR)/man/man1)
	$(call plain,packaging/man/getsubids.1,$(DATADIR)/man/man1)

install-lxc-user-nic: bits = $(if $(filter none,$(MODE)),755,4755)
install-lxc-user-nic:
	$(call privileged,lxc-user-nic,$(LXCDIR))
	$(call plain,packaging/man/lxc-user-nic.1,$(DATADIR)/man/man1)
	install -D -m 644 packaging/systemd/nsgate-tmpfiles.conf '$(DESTDIR)$(PREFIX)/lib/tmpfiles.d/nsgate.conf'

# What is in share/nsgate is for the admin to take: it changes more of the host than these programs.
install-nsgate:
	$(call put,755,$(BUILT)/nsgate,$(PREFIX)/sbin/nsgate)
	$(call keep,policy/defaults/nsgate.ini,$(SYSCONFDIR))
	$(call plain,packaging/man/nsgate.8,$(DATADIR)/man/man8)
	$(call plain,packaging/man/nsgate.ini.5,$(DATADIR)/man/man5)
	install -D -m 644 packaging/completions/nsgate.bash '$(DESTDIR)$(DATADIR)/bash-completion/completions/nsgate'
	$(call plain,packaging/completions/_nsgate,$(DATADIR)/zsh/site-functions)
	$(call plain,packaging/completions/nsgate.fish,$(DATADIR)/fish/vendor_completions.d)
	$(call plain,policy/defaults/lxc-usernet,$(DATADIR)/nsgate)
	$(call plain,docs/json.md,$(DATADIR)/doc/nsgate)
	install -D -m 644 -t '$(DESTDIR)$(DATADIR)/doc/nsgate/schema' policy/schema/*.json
	$(call plain,packaging/systemd/60-nsgate.conf,$(DATADIR)/nsgate/sysctl.d)
	$(call plain,packaging/systemd/80-nsgate-bridge.network,$(DATADIR)/nsgate/network)
	$(call plain,packaging/apparmor/nsgate,$(DATADIR)/nsgate/apparmor.d)
	$(call plain,packaging/apparmor/abstractions/nsgate,$(DATADIR)/nsgate/apparmor.d/abstractions)
	$(call plain,packaging/selinux/nsgate.te,$(DATADIR)/nsgate/selinux)
	$(call plain,packaging/selinux/nsgate.fc,$(DATADIR)/nsgate/selinux)

.PHONY: all install install-uidmap install-lxc-user-nic install-nsgate
