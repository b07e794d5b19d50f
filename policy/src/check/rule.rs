//! The rules: each has an id that stays, a severity, and a paragraph that explains it.

use std::fmt;

/// How bad it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Severity {
    /// Worth knowing. Does not count for the exit status.
    Info,
    /// Works, and not as somebody thinks.
    Warning,
    /// Does not work, or is not safe.
    Error,
}

impl Severity {
    /// The word for it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
        }
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// A rule.
#[derive(PartialEq, Eq, Debug)]
pub struct Rule {
    /// What it is called, for good: scripts go by it.
    pub id: &'static str,
    /// How bad it is if it is broken.
    pub severity: Severity,
    /// What is wrong then, in a few words.
    pub title: &'static str,
    /// Why that is wrong, what follows from it, and what to do: one paragraph.
    pub help: &'static str,
}

macro_rules! rules {
    ($($name:ident: $severity:ident, $id:literal, $title:literal, $help:literal;)*) => {
        $(
            #[doc = $title]
            pub const $name: &Rule =
                &Rule { id: $id, severity: Severity::$severity, title: $title, help: $help };
        )*
        /// All of them: those about lines of any file first, then file by file.
        pub const RULES: &[&Rule] = &[$($name),*];
    };
}

rules! {
    SYNTAX: Error, "syntax", "a line that is none",
        "A line of /etc/subuid and /etc/subgid is owner:first:count, three fields with a colon between them and nothing else; a \
         line of /etc/lxc/lxc-usernet is OWNER veth BRIDGE COUNT, with blanks between. A line that is not so grants nothing, and \
         nobody says so: the helpers pass over it. A remark is a line that begins with #; behind the numbers of /etc/subuid there \
         is no room for one. Lines that begin with + or - were for NIS, and are nobody's.";
    ENCODING: Error, "encoding", "bytes that no editor shows",
        "The files are plain bytes with a newline (LF) at the end of each line. A carriage return (a file from Windows, CRLF) makes \
         the last field no number; a byte order mark (BOM) becomes a part of the first name; a NUL ends a line for one program and \
         not for another; UTF-16 is all NULs. Such lines grant nothing here. Save the file as UTF-8 without BOM and with Unix line \
         ends, or remove the bytes.";
    LONG_LINE: Error, "long-line", "a line of more than 1023 bytes",
        "The C helpers read /etc/subuid and /etc/subgid into 1024 bytes and pass over what does not fit; so does nsgate, so that no \
         line is ever cut into two. Such a line grants nothing.";
    LEADING_BLANK: Error, "leading-blank", "a blank in front hides the line",
        "A line of /etc/lxc/lxc-usernet that begins with a blank or a tab is a remark to LXC, and so to nsgate. It looks like the \
         lines above and below it and grants nothing. Remove the blank, or put # in front if it is meant to be a remark.";
    NUMBER_BASE: Error, "number-base", "a number that programs read differently",
        "A number is written in decimal, without zeros in front. The C helpers take 010 for eight, as C does, and others take it for \
         ten; 0x10 is sixteen to some and no number to others. Where two programs would grant different ids, nsgate grants none. \
         Write the number in decimal.";
    EMPTY_RANGE: Warning, "empty-range", "a count of 0",
        "A line with a count of 0 grants nothing. Old versions of the C helpers took it for all ids up to the one before the first. \
         Remove the line, or say how many.";
    ID_OVERFLOW: Error, "id-overflow", "ids beyond the last one there is",
        "Ids go from 0 to 4294967294. 4294967295 is (uid_t)-1, which means \"no id\" to every system call; what goes further wraps to \
         0 in programs that do not look. A line whose range goes beyond the end grants nothing, not even the ids that exist.";
    UNKNOWN_OWNER: Warning, "unknown-owner", "nobody has this name or number",
        "The line is for a user (in /etc/lxc/lxc-usernet: or @group) whom this machine does not know. It grants nothing today, and \
         tomorrow it grants to whoever gets the name or number: mostly it is left over from a user who was removed, or misspelt. \
         Names are compared byte for byte, so Bob is not bob. In /etc/subuid and /etc/subgid a group means nothing: both are for \
         users. In /etc/lxc/lxc-usernet a uid means nothing: it has names.";
    AMBIGUOUS_OWNER: Warning, "ambiguous-owner", "a number that is also the name of somebody else",
        "In /etc/subuid and /etc/subgid an owner of digits alone is a uid. There is also a user whose name consists of these digits, \
         and whose uid is another: other programs may take the line for his. The helpers of nsgate take it for the uid alone. Use \
         the user's name instead of the number where there is one, and no names of digits.";
    OVERLAP: Error, "overlap", "two owners of the same ids",
        "Two users who both hold an id can both be it: each can read, change and make set-id the files that the other one's \
         containers own, and signal their processes. Give one of them ids of his own: nsgate grant finds some that are free. Files \
         of his containers that are on disk then have to be given the new ids. overlap = refuse in /etc/nsgate.ini makes the helpers \
         refuse ids that two owners hold.";
    OWN_OVERLAP: Warning, "own-overlap", "ids that an owner has twice",
        "Two lines of one owner have ids in common, or are the same. That is no harm to the helpers, which grant what any line \
         grants; but podman and others that add lines up see more ids than there are, and fail when they map them. useradd run twice \
         by a script makes such lines. Remove what is there twice.";
    ROOT_ID: Error, "root-id", "id 0 in a range",
        "Id 0 on the host is root. Whoever may map it into a container of his makes files there that are root's on the host, and \
         with them he is root. Nobody needs it: newuidmap maps 0 in the container to ids of the range, whatever they are. Start the \
         range elsewhere. protect = 0 in /etc/nsgate.ini makes the helpers refuse it whatever the files grant.";
    OWN_ID: Error, "own-id", "an owner's own id in his range",
        "The range has the owner's own uid (in /etc/subgid: the gid of his own group) in it. His own id is his anyway, without a \
         line. Rootless podman and others map it by itself and the ranges beside it: then one host id is mapped twice, and the \
         kernel refuses the map. Start the range above the accounts: useradd takes ids from SUB_UID_MIN (100000) up.";
    ACCOUNT_OVERLAP: Error, "account-overlap", "a range that has the id of somebody's account",
        "The range has the uid of an account of this machine in it (in /etc/subgid: the gid of a group). Whoever holds the range can be \
         that user towards files: he can map the uid into a container, be it there, and so read and change what belongs to that user. \
         Not counted is what root's own lines map one by one (root:1000:1), which LXD and incus ask for by design. \
         protect-accounts = yes in /etc/nsgate.ini makes the helpers refuse such ids.";
    FUTURE_ACCOUNTS: Warning, "future-accounts", "a range where new accounts get their ids",
        "The range has ids in it that useradd and groupadd give to new accounts: SYS_UID_MIN (100) to UID_MAX (60000) in \
         /etc/login.defs, SYS_GID_MIN to GID_MAX for groups. As soon as somebody gets such an id, the holder of the range can be him. \
         Use ids from SUB_UID_MIN up.";
    RESERVED_IDS: Warning, "reserved-ids", "ids that systemd or the kernel uses for others",
        "The range has ids in it that are somebody else's by convention: 60001-60513 are for systemd-homed, 60514-60577 for users \
         that systemd-nspawn takes into containers, 61184-65519 for services with DynamicUser=yes, 65534 is nobody, 65535 was \
         (uid_t)-1 once, and 2147352576-2147418111 own the files of foreign images. Whoever holds them can be those users. See \
         https://systemd.io/UIDS-GIDS/. nsgate grant avoids them.";
    CONTAINER_POOL: Info, "container-pool", "ids that systemd-nspawn would take for containers",
        "systemd-nspawn -U, systemd-vmspawn and systemd-nsresourced take the ids of a container from 524288-1879048191, and do not \
         look into /etc/subuid. useradd gives users ids from there as soon as the first few have theirs, as SUB_UID_MAX is 600100000. \
         That does no harm as long as no container of systemd's runs here; container-pool-in-use is the rule for machines where some \
         do.";
    CONTAINER_POOL_IN_USE: Warning, "container-pool-in-use", "ids that systemd-nspawn may take for a container, and it is in use",
        "There are containers of systemd's on this machine (something is in /var/lib/machines, /etc/systemd/nspawn or \
         /run/systemd/nspawn), and the range has ids of 524288-1879048191 in it, where systemd-nspawn -U and systemd-nsresourced pick \
         the ids of a container. They see accounts, and do not look into /etc/subuid: both may come to use the same ids, and own each \
         other's files. Use ids below 524288 or from 1879048192 up for the user, or PrivateUsers= with a fixed range for the \
         container.";
    IPA_IDS: Warning, "ipa-ids", "ids that FreeIPA gives out",
        "subid: in /etc/nsswitch.conf asks SSSD for subordinate ids, which FreeIPA numbers from 2147483648 up. A line in the file \
         that has such ids may overlap with what FreeIPA gives somebody, and nobody compares the two. Use ids below 2147483648 in \
         the file.";
    INCUS_IDS: Warning, "incus-ids", "ids that incus and LXD take for containers, and one of them is there",
        "There are containers of incus or LXD on this machine (something is in /var/lib/incus or /var/lib/lxd), and no line of root's \
         in /etc/subuid and /etc/subgid says which ids they have. Where neither file was there, they have taken \
         1000000-1000999999, and the range has ids of these: the user and a container own each other's files. Use other ids for the \
         user, which nsgate grant finds; a line for root (root:1000000:1000000000 in both files) says what incus has.";
    FEW_IDS: Warning, "few-ids", "an owner of fewer than 65536 ids",
        "A container of a usual distribution needs 65536 ids: 0 to 65533 for its users and groups, and 65534 for nobody. With fewer, \
         packages with other ids fail to unpack (lchown: invalid argument), and incus does not start. All lines of the owner count \
         together. An owner who needs less on purpose is fine.";
    OUT_OF_STEP: Warning, "out-of-step", "an owner holds other ids in subuid than in subgid",
        "Programs that make containers map uids and gids side by side, and most take it for granted that an owner's ranges in \
         /etc/subuid and /etc/subgid are the same; incus and podman fail, or make files of groups that are nobody's. useradd and \
         usermod can make the two differ. nsgate grant keeps them in step. Ids of one file that are root's, an account's or somebody \
         else's it does not put into the other one: take those out with nsgate revoke, and grant others.";
    SUBID_SOURCE: Warning, "subid-source", "the file is not read",
        "subid: in /etc/nsswitch.conf says where subordinate ids come from. files is not among the sources, so no line of \
         /etc/subuid and /etc/subgid grants anything. Add files to the line, or remove what is in the files.";
    SUBID_SOURCE_NAME: Error, "subid-source-name", "a subid: line that nobody understands",
        "subid: in /etc/nsswitch.conf is a list of names of sources, of a to z, 0 to 9 and _. There is something else on it, such as \
         [NOTFOUND=return]. As nobody knows what that line means, newuidmap and newgidmap refuse every request until it is mended.";
    NIC_TYPE: Error, "nic-type", "a type of interface other than veth",
        "The second field of /etc/lxc/lxc-usernet is the type of interface, and veth is the only one that lxc-user-nic makes. The \
         line allows nothing. If a name with a blank in it has moved the fields: the format has no way to write such a name; use a \
         group.";
    NO_INTERFACES: Warning, "no-interfaces", "a number of interfaces that is none",
        "The fourth field of /etc/lxc/lxc-usernet is how many interfaces the owner may have at once: 1 to 2147483647. 0, or a number \
         below, allows nothing. So does one above, which overflows in the C program. Remove the line, or write how many.";
    REPEATED_QUOTA: Warning, "repeated-quota", "several lines for one quota",
        "Several lines of /etc/lxc/lxc-usernet are for the same owner and bridge. They do not add up: the largest number holds, \
         whatever the others say. So an owner may have more than the line says that somebody lowered. Keep one line.";
    BRIDGE_NAME: Error, "bridge-name", "a name that no bridge has",
        "The third field of /etc/lxc/lxc-usernet is the name of a bridge, none, or a name with %u in it, which is the caller's uid. \
         An interface's name has 1 to 15 bytes, without blanks, /, : and other %. No bridge can be called what stands there, so the \
         line allows nothing.";
    LONG_BRIDGE_NAME: Warning, "long-bridge-name", "a name with %u that is too long for some uids",
        "A bridge's name has up to 15 bytes. With a uid in place of %u, which has up to ten digits, this one gets longer for some \
         users, who are refused then; uids of directory services (SSSD, AD) mostly have nine or ten. Five bytes beside %u always fit: \
         nsbr-%u.";
    BRIDGE_PATTERN: Error, "bridge-pattern", "bridges of different users that are one",
        "With %u each user has a bridge of his own, and users cannot reach each other's containers. Here that does not hold: a name \
         with %u becomes, with the uid of one user, the name that another line gives to others (br%u and br1%u are both br11; br%u is \
         the plain br1000 for uid 1000). Then they share a link, and one can pose as the other's router or neighbour. Choose names \
         that differ before %u in something that is no digit.";
    MISSING_BRIDGE: Warning, "missing-bridge", "a bridge that is not there",
        "The line allows interfaces on a bridge that this machine does not have just now: lxc-user-nic refuses. It is misspelt, or \
         whatever makes it (lxc-net, libvirt, networkd) has not run.";
    NOT_A_BRIDGE: Error, "not-a-bridge", "an interface that is no bridge",
        "The line allows interfaces on something that is no bridge, such as a network card: nothing can be attached to it, and \
         lxc-user-nic refuses. Name the bridge that the card is a port of, or make one.";
    ACCEPT_RA: Warning, "accept-ra", "a bridge where a container can change the host's IPv6 routes",
        "The host accepts IPv6 router advertisements on the bridge (accept_ra is not 0). Any container on it can send one, and so make \
         itself the host's default router or give the host addresses and name servers: CVE-2020-10749 and its like. The host has no \
         use for advertisements from its own containers. Set accept_ra to 0, for good in /etc/sysctl.d.";
    SETTINGS: Error, "settings", "what nsgate.ini says is not understood",
        "/etc/nsgate.ini is read whole or not at all: with a section or key that nobody knows, a key that is set twice, or a value \
         that is none, newuidmap, newgidmap and lxc-user-nic refuse every request, so that a rule which is misspelt does not look \
         like one that is in force. A file of more than 1 MiB is refused, too. See nsgate.ini(5) for what there is.";
    UNUSED_BRIDGE: Warning, "unused-bridge-section", "a section for a bridge that nobody may use",
        "/etc/nsgate.ini has a section for a bridge that no line of /etc/lxc/lxc-usernet names, so it does nothing. If the name is \
         misspelt, the bridge that was meant goes without its guards.";
    FEW_MULTICAST_GROUPS: Warning, "few-multicast-groups", "a limit that a container's own IPv6 addresses reach",
        "max-multicast-groups in /etc/nsgate.ini counts the groups that a container cannot do without: one for each of its IPv6 \
         addresses that ends differently, by which others ask for its MAC, one for its name (mDNS), and so on. Where there is a \
         multicast querier on the link, the bridge passes nothing on to a group beyond the limit, so the container cannot be reached \
         by those addresses. Leave it 8 or more, or 0 for no limit.";
    CREATE_NOTHING: Warning, "create-without-pattern", "bridges are to be made, and no line names one",
        "create = yes in [per-user-bridge] makes bridges that /etc/lxc/lxc-usernet names with %u, and no line there has %u: nothing is \
         ever made. Add a line such as \"@containers veth nsbr-%u 10\", or remove the key.";
    PROTECTED_GRANT: Warning, "protected-grant", "granted ids that nsgate.ini protects",
        "protect in /etc/nsgate.ini takes away ids that this line grants: a map that has one of them is refused as a whole. As most \
         programs map all that an owner has, he may not be able to start anything. Take the ids out of the line, or out of protect.";
    WRITABLE: Error, "writable", "somebody else than root can write the policy",
        "The helpers give out the power of root by what is in this file, so they refuse it unless it and every directory on the way to \
         it are root's and can be written by nobody else. Look at who wrote what is in it before you mend it.";
    NOT_A_FILE: Error, "not-a-file", "a policy file that is no file",
        "It is a directory, a device, a pipe, or a link that leads nowhere, into a circle, or through /proc. The helpers read regular \
         files, and refuse every request for want of one.";
    TOO_LARGE: Error, "too-large", "a file that is too large for the helpers",
        "The helpers read all of /etc/nsswitch.conf, and refuse every request if that is more than 1 MiB, so that nobody makes them \
         use up the memory. A few lines are enough: look at what else has come into it, and take it out.";
    UNREAD: Warning, "unread", "a file that could not be read",
        "Whoever runs nsgate check may not read the file, or it cannot be read at all, so what is in it was not looked at. Run it as \
         root.";
    NOT_FOR_ALL: Info, "not-readable-by-all", "a policy file that not everybody can read",
        "newuidmap and newgidmap read it as root if they are installed set-user-ID. Installed with file capabilities (setcap) they read \
         it as their caller, and refuse him if he cannot. podman, buildah and getsubids read it as the caller, too, to see what he \
         has. If that is not wanted, nothing is wrong.";
    MISSING_FILE: Info, "missing-file", "there is no such file",
        "Without /etc/subuid and /etc/subgid nobody can map more than his own id, unless another source is named in \
         /etc/nsswitch.conf. useradd only makes lines if the files are there, and incus takes 1000000-1000999999 if neither is. An \
         empty file is enough to begin with.";
}

/// The rule of this id.
#[must_use]
pub fn named(id: &str) -> Option<&'static Rule> {
    RULES.iter().find(|rule| rule.id == id).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_has_an_id_of_its_own_and_a_paragraph() {
        for (place, rule) in RULES.iter().enumerate() {
            assert!(rule.id.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-'), "{}", rule.id);
            assert!(RULES[..place].iter().all(|other| other.id != rule.id), "{}", rule.id);
            assert!(rule.help.len() > 100 && rule.help.ends_with('.'), "{}", rule.id);
            assert!(!rule.help.contains("  ") && !rule.help.contains('\n'), "{}", rule.id);
            assert!(!rule.title.ends_with('.') && rule.title.len() < 80, "{}", rule.id);
        }
        assert_eq!(named("overlap"), Some(OVERLAP));
    }
}
